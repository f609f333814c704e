"""A bar over the batches of an epoch."""

import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar as LightningBar
from rich.progress import BarColumn, Progress, TextColumn

from gcvideo._console import Console
from gcvideo.data import VideoBatch
from gcvideo.training._epoch_watch import EpochWatch, epoch_name

_SECONDS_BETWEEN_UPDATES = 0.5


class ProgressBar(EpochWatch, LightningBar):
    """One line on a terminal: the epoch, counted from 1, its means so far, clips/s, time left of the run.

    Nothing is shown where the output is not a terminal, and by all ranks but the first; the lines of
    :class:`EpochLine` remain. Differs from Lightning's ``RichProgressBar``, which counts from 0, shows the
    last batch, overwrites what others print, and breaks into four lines at 80 columns.
    """

    def __init__(self) -> None:
        super().__init__()
        self._console = Console()
        self._bar: Progress | None = None
        self._due = 0.0
        self._is_enabled = self._console.is_terminal

    @property
    def is_enabled(self) -> bool:
        return self._is_enabled

    def enable(self) -> None:
        self._is_enabled = True

    def disable(self) -> None:
        self._is_enabled = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._stop()
        if self._is_enabled and trainer.is_global_zero:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[text]}", markup=False),
            )
            self._bar = Progress(*columns, console=self._console, transient=True, expand=True)
            self._bar.add_task("", text="")
            self._bar.start()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_start(trainer, pl_module)
        self._show(trainer, epoch_name(trainer), 0, trainer.num_training_batches)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: VideoBatch,
        batch_idx: int,
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        name, total = epoch_name(trainer), trainer.num_training_batches
        self._show(trainer, name, batch_idx + 1, total)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._show_evaluation(trainer, 0)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: VideoBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._show_evaluation(trainer, batch_idx + 1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._stop()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show_evaluation(self, trainer: Trainer, num_done: int) -> None:
        total = sum(trainer.num_val_batches)
        self._show(trainer, f"{epoch_name(trainer)} val", num_done, total)

    def _show(self, trainer: Trainer, name: str, num_done: int, total: float) -> None:
        # Means are read from the device, which the host must not wait for in every step.
        if self._bar is None or (0 < num_done < total and time.monotonic() < self._due):
            return
        shown = {"completed": num_done, "total": total, "text": self.so_far(trainer)}
        self._bar.update(self._bar.task_ids[0], description=name, **shown)
        self._due = time.monotonic() + _SECONDS_BETWEEN_UPDATES
