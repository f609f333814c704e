import sys

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

_SHOWN = {
    "loss": "train/loss_step",
    "top-1": "train/top1_step",
    "val top-1": "val/top1",
    "clips/s": "clips_per_second",
    "data wait": "data_wait",
}


class ProgressBar(RichProgressBar):
    """Lightning's bar with loss, top-1, clips/s and the share of time spent waiting for data.

    Silent where the output is no terminal; the lines of :class:`EpochLine` remain.
    """

    def __init__(self) -> None:
        super().__init__(leave=False)
        if not sys.stdout.isatty():
            self.disable()

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        values = super().get_metrics(trainer, pl_module)
        return {name: values[key] for name, key in _SHOWN.items() if key in values}
