"""What accuracies mean wherever they stand: on the screen, in results, in tables of a comparison."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

_NUM_GUESSES = 5


def has_top5(num_classes: int) -> bool:
    """Whether there is a top-5 accuracy: from six classes on, for five guesses name all of five.

    Args:
        num_classes: that the net knows, with videos or without.
    """
    return num_classes > _NUM_GUESSES


def count_right(
    labels: Int64[Tensor, " n"], is_right: Bool[Tensor, " n"], num_classes: int
) -> Int64[Tensor, "2 k"]:
    """Of each class the number of videos that are recognised, and below it that of all its videos.

    Args:
        labels: of the videos.
        is_right: whether the best score is that of the label.
        num_classes: that the net knows.
    """
    counts = (torch.bincount(found, minlength=num_classes) for found in (labels[is_right], labels))
    return torch.stack(list(counts))


def class_accuracies(counts: Int64[Tensor, "2 k"]) -> Float[Tensor, " k"]:
    """Share of the videos of each class that are recognised; NaN for a class without videos.

    Args:
        counts: from :func:`count_right`; those of parts of the videos may be added up.
    """
    right, videos = counts
    return right.double() / videos


def mean_class_accuracy(accuracies: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """Mean over the classes that have videos, whatever is predicted for the videos of others.

    Args:
        accuracies: from :func:`class_accuracies`.
    """
    return accuracies.nanmean()
