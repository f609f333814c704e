"""What validation and test measure, and the type that they compute in."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float, Int64
from lightning import Trainer
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from gcvideo.evaluation._accuracy import (
    class_accuracies,
    count_right,
    has_top5,
    mean_class_accuracy,
)
from gcvideo.models import computing_in


def accuracy_metrics(num_classes: int, prefix: str) -> MetricCollection:
    """Top-1, top-5 (from six classes on) and mean class accuracy, exact over ranks."""
    metrics: dict[str, Any] = {
        "top1": MulticlassAccuracy(num_classes, average="micro"),
        "mean_class_accuracy": MeanClassAccuracy(num_classes),
    }
    if has_top5(num_classes):
        metrics["top5"] = MulticlassAccuracy(num_classes, top_k=5, average="micro")
    # Groups would be formed from the first batch: top-1 and top-5 that agree on it would stay one.
    return MetricCollection(metrics, prefix=prefix, compute_groups=False)


class MeanClassAccuracy(Metric):
    """Mean of the accuracies of the classes that have videos.

    torchmetrics' own ``average="macro"`` counts a class without videos as 0 once it is predicted.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        zero = torch.zeros(2, num_classes, dtype=torch.int64)
        self.add_state("counts", zero, dist_reduce_fx="sum")

    def update(self, scores: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]) -> None:
        is_right = scores.argmax(1) == labels
        self.counts += count_right(labels, is_right, self.counts.shape[1])

    def compute(self) -> Float[Tensor, ""]:
        # On the host: not every device has float64.
        mean = mean_class_accuracy(class_accuracies(self.counts.cpu()))
        return mean.float().to(self.device)


def evaluating(
    trainer: Trainer | None, dtype: torch.dtype, device: torch.device
) -> AbstractContextManager[None]:
    """Within, nets compute in ``dtype``, unless the trainer gives their weights another type."""
    return computing_in(dtype, device) if _keeps_float32(trainer) else nullcontext()


def evaluation_precision(trainer: Trainer, dtype: torch.dtype) -> str:
    """The name of ``dtype``, or the trainer's precision where it changes the weights, as "bf16-true" does."""
    if _keeps_float32(trainer):
        return str(dtype).removeprefix("torch.")
    return str(trainer.precision)


def _keeps_float32(trainer: Trainer | None) -> bool:
    # Other plugins cast weights, or have the strategy do so.
    return trainer is None or type(trainer.precision_plugin) in (Precision, MixedPrecision)
