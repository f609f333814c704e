"""What a run shows of the epoch in which it is."""

import math
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from gcvideo._duration import duration
from gcvideo.data import VideoBatch
from gcvideo.training._time_left import TimeLeft

_SHOWN = {"loss": "train/loss_step", "top-1": "train/top1_step"}


class EpochWatch(Callback):
    """Means over the epoch so far, on their device, and the time that is left of the run.

    Epochs are counted from 1 wherever a run shows or writes one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.time_left = TimeLeft()
        self._sums: dict[str, Tensor] = {}
        self._num_batches = 0
        self._num_done = 0.0
        self._has_begun = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._has_begun = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._sums, self._num_batches = {}, 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: VideoBatch, batch_idx: int
    ) -> None:
        if not self._has_begun:
            # A run may go on in the middle of an epoch.
            self.time_left.begin(trainer.current_epoch + _share(trainer, batch_idx))
            self._has_begun = True

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: VideoBatch,
        batch_idx: int,
    ) -> None:
        self._num_done = trainer.current_epoch + _share(trainer, batch_idx + 1)
        self._num_batches += 1
        metrics = trainer.callback_metrics
        for key in _SHOWN.values():
            if key in metrics:
                # A sum on its device: reading it there would make the host wait in every step.
                value = metrics[key].detach().double().clone()
                self._sums[key] = self._sums[key] + value if key in self._sums else value

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._num_done = float(trainer.current_epoch + 1)
        if self._has_begun:
            self.time_left.mark(self._num_done)

    def so_far(self, trainer: Trainer) -> str:
        """Means over the epoch so far, clips per second, and the time left, in at most 60 columns."""
        parts = [
            f"{name} {number(float(self._sums[key]) / self._num_batches)}"
            for name, key in _SHOWN.items()
            if key in self._sums
        ]
        if "clips_per_second" in trainer.callback_metrics:
            rate = float(trainer.callback_metrics["clips_per_second"])
            parts.append(f"{rate:.3g} clips/s" if rate < 1000 else f"{rate:.0f} clips/s")
        return "  ".join([*parts, *self.time_text(trainer)])

    def time_text(self, trainer: Trainer) -> list[str]:
        """Such as ["3 h 20 min left"]; nothing if the number of epochs is open, or the first batch is out."""
        num_epochs = trainer.max_epochs or 0
        if num_epochs < 1:
            return []
        seconds = self.time_left.seconds(self._num_done, num_epochs)
        return [] if seconds is None else [f"{duration(seconds)} left"]


def epoch_name(trainer: Trainer) -> str:
    """Such as "epoch 3/196"; the first is 1. Without the second number, if that is open."""
    name = f"epoch {trainer.current_epoch + 1}"
    return f"{name}/{trainer.max_epochs}" if (trainer.max_epochs or 0) > 0 else name


def number(value: float) -> str:
    """Four digits, at most three of them decimals."""
    for limit, decimals in ((9.9995, 3), (99.995, 2), (999.95, 1)):
        if abs(value) < limit:
            return f"{value:.{decimals}f}"
    return f"{value:.4g}"


def _share(trainer: Trainer, num_batches: int) -> float:
    total = trainer.num_training_batches
    return min(1.0, num_batches / total) if total and math.isfinite(total) else 0.0
