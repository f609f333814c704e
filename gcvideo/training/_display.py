"""What a run shows while it trains: a line per epoch, a picture of the curves, a progress bar."""

import sys
from pathlib import Path
from typing import Any

import matplotlib.figure
import matplotlib.ticker
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from gcvideo._console import Console
from gcvideo.training._best_checkpoint import is_validated

_CONSOLE = Console()


def _epoch_metrics(trainer: Trainer) -> dict[str, Any]:
    """The metrics of the epoch that ends, without the validation of an earlier epoch."""
    keeps_validation = is_validated(trainer)
    return {
        key: value
        for key, value in trainer.callback_metrics.items()
        if keeps_validation or not key.startswith("val/")
    }


class EpochLine(Callback):
    """Prints one line per epoch, so that a log file without a progress bar tells the story."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        values = _epoch_metrics(trainer)
        shown = {
            "loss": "train/loss_epoch",
            "train top-1": "train/top1_epoch",
            "val loss": "val/loss",
            "val top-1": "val/top1",
            "clips/s": "clips_per_second",
            "data wait": "data_wait",
        }
        text = "  ".join(
            f"{name} {_number(float(values[key]))}" for name, key in shown.items() if key in values
        )
        _CONSOLE.print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {text}", soft_wrap=True
        )


def _number(value: float) -> str:
    return f"{value:.3f}" if value < 100 else f"{value:.0f}"


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


class ProgressBar(RichProgressBar):
    """Lightning's bar with loss, top-1, clips/s and the share of time spent waiting for data.

    Silent where the output is not a terminal; the lines of :class:`EpochLine` remain.
    """

    def __init__(self) -> None:
        super().__init__(leave=False)
        if not sys.stdout.isatty():
            self.disable()

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        values = super().get_metrics(trainer, pl_module)
        shown = {
            "loss": "train/loss_step",
            "top-1": "train/top1_step",
            "val top-1": "val/top1",
            "clips/s": "clips_per_second",
            "data wait": "data_wait",
        }
        return {name: values[key] for name, key in shown.items() if key in values}
