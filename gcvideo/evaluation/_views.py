"""Averages over the views of a video."""

from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor

Average = Literal["prob", "logit", "max"]


def average_views(
    logits: Float[Tensor, "b v k"], average: Average = "prob"
) -> Float[Tensor, "b k"]:
    """Scores of a video, in [0, 1], from the logits of its views.

        prob:  mean_v softmax(logits_v)      PySlowFast, Non-local Networks, mmaction2
        logit: softmax(mean_v logits_v)      mmaction2's "score"
        max:   max_v softmax(logits_v), scaled to sum to 1

    Computed in float32 for any precision of the net.

    Raises:
        ValueError: if the kind of average is unknown.
    """
    logits = logits.float()
    if average == "prob":
        return logits.softmax(dim=-1).mean(dim=1)
    if average == "logit":
        return logits.mean(dim=1).softmax(dim=-1)
    if average == "max":
        scores = logits.softmax(dim=-1).amax(dim=1)
        return scores / scores.sum(dim=-1, keepdim=True)
    raise ValueError(f"average is {average!r}; choose one of {', '.join(get_args(Average))}")
