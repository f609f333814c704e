"""Accuracies, as they appear on the screen, in results and in tables of comparisons."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

_NUM_GUESSES = 5


def has_top5(num_classes: int) -> bool:
    """Whether top-5 accuracy is meaningful: for more than five classes."""
    return num_classes > _NUM_GUESSES


def wrong_where_not_finite(
    scores: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
) -> Float[Tensor, "n k"]:
    """Scores in which the true class comes last for each video whose scores are not all finite.

    As they are, the largest of them would be the first class, and videos of that class would count as
    recognised by a net that computes nothing.
    """
    is_finite = scores.isfinite().all(dim=1, keepdim=True)
    last = torch.zeros_like(scores).scatter_(1, labels[:, None], -1.0)
    return scores.where(is_finite, last)


def count_right(
    labels: Int64[Tensor, " n"], is_right: Bool[Tensor, " n"], num_classes: int
) -> Int64[Tensor, "2 k"]:
    """For each class, the number of recognised videos (first row) and of all videos (second row)."""
    counts = (torch.bincount(found, minlength=num_classes) for found in (labels[is_right], labels))
    return torch.stack(list(counts))


def class_accuracies(counts: Int64[Tensor, "2 k"]) -> Float[Tensor, " k"]:
    """Share of recognised videos in each class, from (sums of) :func:`count_right`; NaN without videos."""
    right, videos = counts
    return right.double() / videos


def mean_class_accuracy(accuracies: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """Mean over the classes that have videos."""
    return accuracies.nanmean()
