"""Checkpoints from which an interrupted run goes on, and the signals that interrupt it."""

import shlex
import signal
from pathlib import Path
from types import FrameType
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging

from gcvideo._console import Console
from gcvideo._hint import override
from gcvideo._invocation import command_line
from gcvideo.data import VideoBatch
from gcvideo.training._metric_log import MetricLog
from gcvideo.training._nonfinite import NonFiniteLossError
from gcvideo.training._rank_exchange import RankAgreement, average_statistics

# Newest first. The first is there only if a run was killed while it renamed them.
CHECKPOINT_NAMES = ("next.ckpt", "last.ckpt", "previous.ckpt")

# Those that the system has; Windows lacks SIGUSR1.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)


class TrainingStopped(Exception):
    """A training that was asked to stop by a signal and has written where it stands."""

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.exit_status = 128 + signal_number  # as shells expect


class StopSignal:
    """Remembers SIGINT, SIGTERM or SIGUSR1 until the run is between two batches.

    Lightning's handler of SIGTERM talks to other ranks from within the signal, wherever the training
    stands, and SIGINT may hit the middle of an optimizer step. A second SIGINT stops at once.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        if not self._before:
            self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number


class ProgressCheckpoint(Callback):
    """Checkpoints from which a run goes on as if it had never stopped.

    Written every ``every_n_steps`` optimizer steps, at the end of each epoch, when SIGTERM, SIGINT or
    SIGUSR1 asks to stop, and when the loss is no longer finite. The last two are kept. Each stands
    between two batches: nothing is lost and nothing done twice.

    Must come before callbacks that log, or what they log at the start of a batch is logged again.

    Args:
        folder: folder of the checkpoints.
        every_n_steps: optimizer steps that a killed run loses at most.

    Raises:
        ValueError: for a number of steps below one, or a resumed run with other batches.
        TrainingStopped: after a signal, when the checkpoint is written.
    """

    def __init__(self, folder: str, every_n_steps: int = 500) -> None:
        if every_n_steps < 1:
            raise ValueError(
                f"checkpoint.every_n_steps is {every_n_steps}; give at least 1 optimizer step: a killed run "
                "loses up to that many"
            )
        self.folder = Path(folder)
        self.every_n_steps = every_n_steps
        self._saved_step = 0
        self._saving = self._validation_pending = self._finished = False
        self._metrics_before: dict[str, float] = {}
        self._num_common_batches = 0
        self._stop = StopSignal()
        self._agreement = RankAgreement()
        self._console = Console()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop.install()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step > self._saved_step:
            self._save(trainer)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: VideoBatch, batch_idx: int
    ) -> None:
        stop = self._agreement.any(self._stop.received is not None)
        num_new = trainer.global_step - self._saved_step
        if batch_idx % trainer.accumulate_grad_batches:
            return  # accumulated gradients would be lost
        # The start of an epoch was saved above.
        if batch_idx and (num_new >= self.every_n_steps or (stop and num_new)):
            self._save(trainer)
        if stop:
            self._raise_stopped(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A rank may have one batch more than others, and must not ask them before that one.
        self._num_common_batches = self._agreement.least(int(sum(trainer.num_val_batches)))

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: VideoBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if batch_idx >= self._num_common_batches or trainer.state.fn != "fit":
            return
        if self._agreement.any(self._stop.received is not None):
            for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
                if isinstance(callback, WeightAveraging):
                    # A checkpoint holds the weights in training, not the average that is validated.
                    callback.on_validation_epoch_end(trainer, pl_module)
            self._validation_pending = True
            self._save(trainer)
            self._raise_stopped(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop.restore()
        self._finished = True
        self._save(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._stop.restore()
        if isinstance(exception, NonFiniteLossError):
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        newest, last, previous = (self.folder / name for name in CHECKPOINT_NAMES)
        for logger in trainer.loggers:
            logger.save()
        average_statistics(trainer)
        self._saving = True
        try:
            trainer.save_checkpoint(newest)
        finally:
            self._saving = False
        if trainer.is_global_zero:
            if last.is_file():
                last.replace(previous)
            newest.replace(last)
        trainer.strategy.barrier("progress checkpoint")
        self._saved_step = trainer.global_step

    def _raise_stopped(self, trainer: Trainer) -> None:
        step = f"step {trainer.global_step} of epoch {trainer.current_epoch + 1}"
        again = f"{command_line('train')} {shlex.quote(override('resume', self.folder.parent))}"
        raise TrainingStopped(self._stop.received or 0, f"stopped at {step}; go on with: {again}")

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if not self._saving:
            return
        settle_between_batches(
            checkpoint["loops"]["fit_loop"],
            accumulated=trainer.accumulate_grad_batches,
            validation_pending=self._validation_pending,
        )
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        checkpoint["progress"] = {
            "batch_size": _batch_sizes(trainer, pl_module),
            # The rate follows epochs, also when later ones have other lists.
            "epoch_batches": [data.num_batches(epoch) for epoch in range(trainer.current_epoch)],
            "metric_logs": {log.name: log.state_dict() for log in _metric_logs(trainer)},
            "metrics": self.metrics(trainer),
            "finished": self._finished,
        }

    def metrics(self, trainer: Trainer) -> dict[str, float]:
        """The last value of each metric, including those from before the run was resumed."""
        now = {name: float(value) for name, value in trainer.callback_metrics.items()}
        return self._metrics_before | now

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        progress = checkpoint["progress"]
        self._saved_step = checkpoint["global_step"]
        self._metrics_before = progress["metrics"]
        before, now = progress["batch_size"], _batch_sizes(trainer, pl_module)
        if before != now:
            raise ValueError(
                f"the run was made with {_describe(before)}, and now has {_describe(now)}; a resumed "
                "run needs the same, or its steps would not continue where they stopped: if the number "
                "of devices changes, change batch_size in inverse proportion"
            )
        epoch, num_batches = num_batches_seen(checkpoint["loops"]["fit_loop"])
        past = progress["epoch_batches"][:epoch]
        trainer.datamodule.resume(epoch, num_batches, past)  # pyright: ignore[reportAttributeAccessIssue]
        for log in _metric_logs(trainer):
            if log.name in progress["metric_logs"]:
                log.load_state_dict(progress["metric_logs"][log.name])


def _batch_sizes(trainer: Trainer, pl_module: LightningModule) -> dict[str, int]:
    views: int = pl_module.views_per_step  # pyright: ignore[reportAssignmentType]
    return {
        "views_per_batch": views * trainer.world_size,
        "accumulated_batches": trainer.accumulate_grad_batches,
    }


def _describe(sizes: dict[str, int]) -> str:
    return f"{sizes['views_per_batch']} views x {sizes['accumulated_batches']} accumulated batches"


def _metric_logs(trainer: Trainer) -> list[MetricLog]:
    return [logger for logger in trainer.loggers if isinstance(logger, MetricLog)]


def settle_between_batches(
    loops: dict[str, Any], *, accumulated: int = 1, validation_pending: bool = False
) -> None:
    """Count a batch or an epoch that has begun but not ended as not begun.

    Lightning saves its counters as they stand, so a checkpoint written in a hook at the start of a
    batch would skip that batch. Batches of an optimizer step that was not taken count as not begun.
    With ``validation_pending`` the epoch lacks its validation, and nothing else.
    """
    epochs, batches = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    in_open_step = 0
    if epochs["current"]["started"] > epochs["current"]["completed"] and not validation_pending:
        in_open_step = batches["current"]["completed"] % accumulated
        batches["is_last_batch"] = False
    for scope in ("total", "current"):
        done = batches[scope]["completed"] - in_open_step
        batches[scope] |= dict.fromkeys(("ready", "started", "processed", "completed"), done)
        if epochs[scope]["started"] == epochs[scope]["completed"]:
            epochs[scope]["ready"] = epochs[scope]["completed"]
        if validation_pending:
            # As if its first batch had begun: so Lightning recognises a validation to return to.
            loops["epoch_loop.val_loop.batch_progress"][scope] |= {
                "ready": 1,
                "started": 1,
                "processed": 0,
                "completed": 0,
            }


def num_batches_seen(loops: dict[str, Any]) -> tuple[int, int]:
    """The epoch that a settled checkpoint goes on with, and how many of its batches were seen."""
    epochs = loops["epoch_progress"]["current"]
    if epochs["started"] == epochs["completed"]:
        return epochs["completed"], 0
    return epochs["completed"], loops["epoch_loop.batch_progress"]["current"]["completed"]
