"""Which classes are taken for which."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor


class ConfusedPair(NamedTuple):
    """Videos of one class that were answered with another."""

    label: int
    answer: int
    num_videos: int
    share: float  # of all videos with that label


def confusion_matrix(
    labels: Int64[Tensor, " n"], scores: Float[Tensor, "n k"]
) -> Int64[Tensor, "k k"]:
    """Numbers of videos, with a row per true class and a column per answer.

        n_ij = |{ v : label of v is i, argmax_k score_vk = j }|

    torchmetrics counts; scores that are not finite, of which it would make class 0, are refused.

    Args:
        labels: true class of each video.
        scores: scores of each video.

    Raises:
        ValueError: if a score is not finite.
    """
    from torchmetrics.functional.classification import multiclass_confusion_matrix  # noqa: PLC0415 (takes seconds)

    check_finite(scores)
    num_classes = scores.shape[1]
    # Its own checks refuse a single class.
    return multiclass_confusion_matrix(
        scores.argmax(1), labels, num_classes=num_classes, validate_args=False
    ).long()


def normalized_by_class(counts: Int64[Tensor, "k k"]) -> Float64[Tensor, "k k"]:
    """Shares of the videos of each true class, which sum to 1 by row; NaN in rows without videos."""
    return counts.double() / counts.sum(1, keepdim=True)


def most_confused_pairs(counts: Int64[Tensor, "k k"], num_pairs: int) -> list[ConfusedPair]:
    """The most frequent wrong answers, at most so many; of equals, the larger share of a class first."""
    wrong = counts.clone().fill_diagonal_(0)
    videos = counts.sum(1).tolist()
    pairs = [
        ConfusedPair(i, j, int(wrong[i, j]), int(wrong[i, j]) / videos[i])
        for i, j in wrong.nonzero().tolist()
    ]
    return sorted(pairs, key=lambda pair: (-pair.num_videos, -pair.share))[:num_pairs]


def most_confused_classes(counts: Int64[Tensor, "k k"], num_classes: int) -> list[int]:
    """At most so many classes, those of the most frequent wrong answers, in label order."""
    chosen: dict[int, None] = {}
    for pair in most_confused_pairs(counts, counts.numel()):
        both = dict.fromkeys((pair.label, pair.answer))
        if len(chosen | both) > num_classes:
            break
        chosen |= both
    return sorted(chosen)


def check_finite(scores: Float[Tensor, "n k"]) -> None:
    """Refuse scores that are not finite; ValueError with their number and the first of them."""
    bad = (~torch.isfinite(scores).all(1)).nonzero().flatten().tolist()
    if bad:
        raise ValueError(
            f"{len(bad)} of {len(scores)} videos have scores that are not finite, the first is video "
            f"{bad[0]}; leave them out, or find out why the net does not compute numbers"
        )
