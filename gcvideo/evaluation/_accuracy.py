"""What accuracies mean wherever they stand: on the screen, in results, in tables of a comparison."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

_NUM_GUESSES = 5


def has_top5(num_classes: int) -> bool:
    """Whether there is a top-5 accuracy: from six classes on, since five guesses name all of five."""
    return num_classes > _NUM_GUESSES


def count_right(
    labels: Int64[Tensor, " n"], is_right: Bool[Tensor, " n"], num_classes: int
) -> Int64[Tensor, "2 k"]:
    """Of each class the number of videos that are recognised, and below it that of all its videos."""
    counts = (torch.bincount(found, minlength=num_classes) for found in (labels[is_right], labels))
    return torch.stack(list(counts))


def class_accuracies(counts: Int64[Tensor, "2 k"]) -> Float[Tensor, " k"]:
    """Share of the videos of each class that are recognised; NaN for a class without videos.

    Counts of :func:`count_right` for parts of the videos may be added up before.
    """
    right, videos = counts
    return right.double() / videos


def mean_class_accuracy(accuracies: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """Mean over the classes that have videos, whatever is predicted for the videos of others."""
    return accuracies.nanmean()
