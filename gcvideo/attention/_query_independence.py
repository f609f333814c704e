"""How much the output of a non-local block depends on the query."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gcvideo.attention._pair_distance import (
    CosineDistance,
    Divergence,
    PairMeans,
    QueryVectors,
    mean_cosine_distance,
    mean_jensen_shannon,
)
from gcvideo.nn import NonLocalBlock
from gcvideo.nn._grid import fold


@dataclass(frozen=True)
class QueryIndependence:
    """One row of the paper's table: mean distances between the vectors of two queries of a block."""

    input: CosineDistance  # of x_i
    output: CosineDistance  # of the update z_i - x_i
    attention: CosineDistance  # of the rows a_i of the map
    divergence: Divergence | None  # Jensen-Shannon, of the rows; None for kinds without a softmax


@torch.inference_mode()
def query_independence(
    block: NonLocalBlock,
    x: Float[Tensor, "b c t h w"],
    *,
    num_pairs: int = 4096,
    seed: int | Sequence[int] = 0,
) -> QueryIndependence:
    """Mean distances over all pairs of queries of a block, and over the spatial and temporal pairs.

        avg_dist = 1 / P^2 sum_i sum_j dist(v_i, v_j),    P = T H W

    where v is the input x_i, the output z_i - x_i or the attention row a_i. If the distances are small,
    one map would be enough for all queries.

    Source: Cao et al., GCNet (arXiv:1904.11492), Table 1. Differs from the paper: a block with axes
    "hw" or "t" has one map per frame or place, and only pairs within one map count. It therefore has no
    temporal or no spatial pairs.
    """
    if block.training:
        raise ValueError(
            "the block is in training mode, in which its output depends on the batch; call "
            "net.eval() first"
        )
    num_frames, num_places = x.shape[2], x.shape[3] * x.shape[4]
    if block.axes == "hw":
        num_frames = 1
    elif block.axes == "t":
        num_places = 1
    features, update = (fold(tensor, block.axes).mT for tensor in (x, block.update(x)))
    rows = QueryVectors(block.attention_rows(x), num_frames, num_places)
    divergence = None
    if block.kind in ("gaussian", "embedded_gaussian"):
        rng = np.random.default_rng(seed)
        divergence = mean_jensen_shannon(rows, num_pairs=num_pairs, rng=rng)
    return QueryIndependence(
        mean_cosine_distance(rows._replace(read=lambda queries: features[:, queries])),
        mean_cosine_distance(rows._replace(read=lambda queries: update[:, queries])),
        mean_cosine_distance(rows),
        divergence,
    )


def average_query_independence(measured: Sequence[QueryIndependence]) -> QueryIndependence:
    """The mean over views or layers; each value is averaged over those in which it is defined.

    Standard errors are those of independent samples, sqrt(sum_n s_n^2) / N.
    """
    divergences = [m.divergence for m in measured if m.divergence is not None]
    divergence = None
    if divergences:
        errors = torch.tensor([d.standard_errors for d in divergences], dtype=torch.float64)
        num_defined = errors.isfinite().sum(0).clamp(min=1)
        divergence = Divergence(
            _mean([d.means for d in divergences]),
            PairMeans(*(errors.square().nanmean(0) / num_defined).sqrt().tolist()),
            is_exact=all(d.is_exact for d in divergences),
        )
    input_, output, attention = (
        CosineDistance(_mean([d.means for d in column]), fmean(d.zero_share for d in column))
        for column in zip(*((m.input, m.output, m.attention) for m in measured), strict=True)
    )
    return QueryIndependence(input_, output, attention, divergence)


def _mean(values: Sequence[PairMeans]) -> PairMeans:
    """The mean of the defined values; NaN if there are none."""
    return PairMeans(*torch.tensor(values, dtype=torch.float64).nanmean(0).tolist())
