"""What a run leaves on the screen and in its folder: a line per epoch, and a picture of the curves."""

import math
import time
from pathlib import Path
from typing import Any

import matplotlib.figure
import matplotlib.ticker
from lightning import Callback, LightningModule, Trainer

from gcvideo._console import Console
from gcvideo.data import VideoBatch
from gcvideo.training._best_checkpoint import is_validated
from gcvideo.training._epoch_watch import EpochWatch, epoch_name, number

_CONSOLE = Console()
_SECONDS_BETWEEN_LINES = 60.0
_SHOWN = (
    ("loss", "train/loss_epoch", "val/loss"),
    ("top-1", "train/top1_epoch", "val/top1"),
)


def _epoch_metrics(trainer: Trainer) -> dict[str, Any]:
    """The metrics of the epoch that ends, without the validation of an earlier epoch."""
    keeps_validation = is_validated(trainer)
    return {
        key: value
        for key, value in trainer.callback_metrics.items()
        if keeps_validation or not key.startswith("val/")
    }


class EpochLine(EpochWatch):
    """Prints one line per epoch: means over its training, its validation, the time left of the run.

    Where no bar is shown, another line follows after each minute of an epoch, so that a log tells how far
    the run is. No line has more than 80 columns.
    """

    def __init__(self) -> None:
        super().__init__()
        self._due = math.inf

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._wait(trainer)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: VideoBatch,
        batch_idx: int,
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        is_last = (
            batch_idx + 1 == trainer.num_training_batches
        )  # its line comes after the validation
        if time.monotonic() >= self._due and not is_last:
            share = math.floor(100 * (self._num_done - trainer.current_epoch))
            text = f"{epoch_name(trainer)} {share:2d}%  {self.so_far(trainer)}"
            _CONSOLE.print(text, soft_wrap=True)
            self._wait(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if not trainer.is_global_zero:
            return
        values = _epoch_metrics(trainer)
        parts = []
        for name, in_training, in_validation in _SHOWN:
            if in_training in values:
                parts.append(f"{name} {number(float(values[in_training]))}")
            if in_validation in values:
                shown = f"val {number(float(values[in_validation]))}"
                if in_training in values:
                    parts[-1] += f", {shown}"
                else:
                    parts.append(f"{name} {shown}")
        if trainer.current_epoch + 1 != trainer.max_epochs:
            parts += self.time_text(trainer)
        _CONSOLE.print("  ".join([epoch_name(trainer), *parts]), soft_wrap=True)
        self._wait(trainer)

    def _wait(self, trainer: Trainer) -> None:
        has_bar = getattr(trainer.progress_bar_callback, "is_enabled", False)
        is_silent = has_bar or not trainer.is_global_zero
        self._due = math.inf if is_silent else time.monotonic() + _SECONDS_BETWEEN_LINES


class LearningCurve(Callback):
    """Draws loss and accuracy over epochs to ``learning_curve.png`` after each epoch."""

    def __init__(self, folder: str) -> None:
        self.path = Path(folder) / "learning_curve.png"
        self.history: dict[str, list[tuple[float, float]]] = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        values = _epoch_metrics(trainer)
        for key in ("train/loss_epoch", "val/loss", "train/top1_epoch", "val/top1"):
            if key in values:
                value = float(values[key])
                self.history.setdefault(key, []).append((trainer.current_epoch + 1, value))
        if not trainer.is_global_zero:
            return
        figure = matplotlib.figure.Figure(figsize=(9, 3.5), layout="constrained")
        loss, accuracy = figure.subplots(1, 2)
        for axes, keys, label in (
            (loss, ("train/loss_epoch", "val/loss"), "loss"),
            (accuracy, ("train/top1_epoch", "val/top1"), "top-1 accuracy"),
        ):
            for key in keys:
                if key in self.history:
                    epochs, values = zip(*self.history[key], strict=True)
                    axes.plot(epochs, values, marker=".", label=key.partition("/")[0])
            axes.set(xlabel="epoch", ylabel=label)
            axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
            if axes.lines:
                axes.legend()
        accuracy.set_ylim(0, 1)
        figure.savefig(self.path, dpi=120)

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        history = state_dict["history"]
        self.history = {key: [(e, v) for e, v in points] for key, points in history.items()}
