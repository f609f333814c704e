"""Whether the score of an answer is the share of such answers that are right."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from gcvideo.evaluation._confusion import check_finite

NUM_BINS = 15


class Calibration(NamedTuple):
    """Expected calibration error, and what it is made of by bins of equal width in [0, 1]."""

    error: float
    num_videos: Int64[Tensor, " m"]
    confidence: Float64[Tensor, " m"]  # mean in each bin, NaN where it is empty
    accuracy: Float64[Tensor, " m"]  # likewise


def calibration(
    labels: Int64[Tensor, " n"], scores: Float[Tensor, "n k"], num_bins: int = NUM_BINS
) -> Calibration:
    """Expected calibration error of the scores of answers.

        ECE = sum_m |B_m| / n * |accuracy(B_m) - confidence(B_m)|

    B_m are the videos whose largest score, their confidence, lies in [(m - 1) / M, m / M), for the last
    bin including 1. Source: Guo et al., On Calibration of Modern Neural Networks, 2017, equation 3, with
    the bins closed at their lower end, as in torchmetrics, which computes the error.

    Args:
        labels: true class of each video; at least one.
        scores: scores of each video, which sum to 1.
        num_bins: M.

    Raises:
        ValueError: if a score is not finite or outside [0, 1], or there is no video.
    """
    from torchmetrics.functional.classification import multiclass_calibration_error  # noqa: PLC0415 (takes seconds)

    check_finite(scores)
    if not len(scores):
        raise ValueError("there are no videos; a calibration error needs at least one")
    if scores.min() < 0 or scores.max() > 1.0001:
        raise ValueError(
            f"scores lie between {float(scores.min()):g} and {float(scores.max()):g}; pass probabilities, "
            "in [0, 1]"
        )
    # A bin of torchmetrics of its own would begin at 1.
    scores = scores.float().clamp(max=1 - 2**-24)
    confidence, answers = scores.max(1)
    error = multiclass_calibration_error(
        scores, labels, num_classes=scores.shape[1], n_bins=num_bins, validate_args=False
    )
    edges = torch.linspace(0, 1, num_bins + 1)
    bins = torch.bucketize(confidence, edges, right=True) - 1

    def summed(values: Tensor) -> Float64[Tensor, " m"]:
        return torch.zeros(num_bins, dtype=torch.float64).index_add(0, bins, values.double())

    counts = summed(torch.ones_like(confidence))
    return Calibration(
        error=float(error),
        num_videos=counts.long(),
        confidence=summed(confidence) / counts,
        accuracy=summed(answers == labels) / counts,
    )
