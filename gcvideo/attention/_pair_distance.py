"""Mean distances between the vectors of all queries of a map, without a matrix of all pairs."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

# Numbers in memory at once, and the number of logarithms above which pairs are sampled.
_CHUNK = 2**22
MAX_EXACT = 2**28


class PairMeans(NamedTuple):
    """Means over ordered pairs (i, j) of positions in a map of T frames of S places; NaN without pairs.

    - ``all``: the (T S)^2 pairs, including those with i = j, as in the paper.
    - ``spatial``: the T S (S - 1) pairs in one frame at different places.
    - ``temporal``: the S T (T - 1) pairs at one place in different frames.

    The last two exclude i = j, whose zeros would lower them by factors of 1 / S and 1 / T.
    """

    all: float
    spatial: float
    temporal: float


class QueryVectors(NamedTuple):
    """A vector for each query t * S + s of n maps of equal shape, read a few queries at a time."""

    read: Callable[[Int64[Tensor, " q"]], Float[Tensor, "n q k"]]
    num_frames: int  # T
    num_places: int  # S

    @property
    def num_queries(self) -> int:
        return self.num_frames * self.num_places


class CosineDistance(NamedTuple):
    """Means over the pairs that have an angle, and the share of the vectors that are zero."""

    means: PairMeans
    zero_share: float


def mean_cosine_distance(vectors: QueryVectors) -> CosineDistance:
    """Average cosine distance of the vectors of all pairs of queries, in [0, 1].

        mean_ij (1 - cos(v_i, v_j)) / 2 = (1 - |mean_i u_i|^2) / 2,    u_i = v_i / |v_i|

    Pairs within frames and places are averaged in the same way. Sums are float64. A zero vector has no
    angle, so its pairs are left out; a mean over no pairs is NaN.

    Source: Cao et al., GCNet (arXiv:1904.11492), Table 1; the spatial and temporal means are ours.
    """
    num_frames, num_places = vectors.num_frames, vectors.num_places
    frame_sums = frame_counts = temporal = torch.tensor(0)
    first_of_frames = num_places * torch.arange(num_frames)
    for places in torch.arange(num_places).split(_queries_per_chunk(vectors, num_frames)):
        queries = (first_of_frames[:, None] + places).flatten()
        v = vectors.read(queries).double().unflatten(1, (num_frames, -1))  # (n, t, s, k)
        norms = v.norm(dim=-1)
        has_angle = norms > 0
        u = torch.where(has_angle[..., None], v / norms[..., None], 0)
        frame_sums = frame_sums + u.sum(2)
        frame_counts = frame_counts + has_angle.sum(2)
        temporal = temporal + _distinct_pairs(u.sum(1), has_angle.sum(1))
    everything = torch.stack([x.sum(1).square().sum() for x in (frame_sums, frame_counts)])
    sums = torch.stack([everything, _distinct_pairs(frame_sums, frame_counts), temporal], 1)
    cosines, num_pairs = sums.cpu()
    # Values below zero are rounding errors.
    distances = ((1 - cosines / num_pairs) / 2).clamp(min=0).where(num_pairs > 0, math.nan)
    num_vectors = len(frame_sums) * vectors.num_queries
    return CosineDistance(
        PairMeans(*distances.tolist()), 1 - frame_counts.sum().item() / num_vectors
    )


class Divergence(NamedTuple):
    """Means over pairs, and their standard errors, which are zero if all pairs were used."""

    means: PairMeans
    standard_errors: PairMeans
    is_exact: bool


def mean_jensen_shannon(
    vectors: QueryVectors, *, num_pairs: int, rng: np.random.Generator, max_exact: int = MAX_EXACT
) -> Divergence:
    """Average Jensen-Shannon divergence of the distributions of all pairs of queries, in [0, log 2].

        JSD_ij = 1/2 sum_k (v_ik log(2 v_ik / (v_ik + v_jk)) + v_jk log(2 v_jk / (v_ik + v_jk)))
               = H((v_i + v_j) / 2) - (H(v_i) + H(v_j)) / 2,    H(v) = -sum_k v_k log v_k

    Unlike the cosine, it needs every pair. If (T S)^2 K is at most ``max_exact``, all are used; otherwise
    ``num_pairs`` random ones of each kind. Each pair of frames (or each frame, for spatial pairs) gets the
    same number of them, at least two, so that the mean over these strata is unbiased. All maps use the same
    pairs. Computed in float64.

    Source: Cao et al., GCNet (arXiv:1904.11492), Table 1, which does not state the base of the
    logarithm; here it is e.
    """
    if num_pairs < 1:
        raise ValueError(f"num_pairs is {num_pairs}; draw at least 1 pair of queries, such as 4096")
    num_keys = vectors.read(torch.tensor([0])).shape[-1]
    if vectors.num_queries**2 * num_keys <= max_exact:
        return Divergence(_exact_means(vectors), PairMeans(0.0, 0.0, 0.0), is_exact=True)
    drawn = [_drawn_mean(vectors, pairs) for pairs in _draw_pairs(vectors, num_pairs, rng)]
    means, errors = zip(*drawn, strict=True)
    return Divergence(PairMeans(*means), PairMeans(*errors), is_exact=False)


def _queries_per_chunk(vectors: QueryVectors, num_vectors: int) -> int:
    """Number of queries for which ``num_vectors`` each fit into the memory limit."""
    per_query = vectors.read(torch.tensor([0])).numel()
    return max(1, _CHUNK // (per_query * num_vectors))


def _distinct_pairs(
    sums: Float[Tensor, "n m k"], counts: Int64[Tensor, "n m"]
) -> Float[Tensor, "2"]:
    """Sum of the cosines of all pairs i != j within groups of unit vectors, and the number of pairs."""
    cosines = (sums.square().sum(-1) - counts).sum()
    return torch.stack([cosines, (counts * (counts - 1)).sum()])


def _entropy(v: Float[Tensor, "*n k"]) -> Float[Tensor, "*n"]:
    return torch.special.entr(v).sum(-1)


def _exact_means(vectors: QueryVectors) -> PairMeans:
    num_frames, num_places = vectors.num_frames, vectors.num_places
    maps = vectors.read(torch.arange(vectors.num_queries)).double()
    mean = torch.stack([_all_divergences(v) for v in maps]).mean(0)
    mean = mean.unflatten(1, (num_frames, num_places)).unflatten(0, (num_frames, num_places))
    # The divergence for i = j is zero, so it does not change the sums.
    spatial, temporal = mean.diagonal(dim1=0, dim2=2).sum(), mean.diagonal(dim1=1, dim2=3).sum()
    spatial = spatial.cpu() / (num_frames * num_places * (num_places - 1))
    temporal = temporal.cpu() / (num_places * num_frames * (num_frames - 1))
    return PairMeans(mean.mean().item(), spatial.item(), temporal.item())


def _all_divergences(v: Float[Tensor, "p k"]) -> Float[Tensor, "p p"]:
    entropies = _entropy(v)
    divergences = v.new_zeros(len(v), len(v))
    size = max(1, _CHUNK // v.numel())
    for start in range(0, len(v), size):
        # The earlier ones are known by symmetry.
        part, rest = slice(start, start + size), slice(start, None)
        values = _entropy((v[part, None] + v[None, rest]) / 2)
        values -= (entropies[part, None] + entropies[None, rest]) / 2
        divergences[part, rest], divergences[rest, part] = values, values.T
    return divergences.fill_diagonal_(0).clamp_(min=0)


_Pairs = tuple[Int64[np.ndarray, "m n"], Int64[np.ndarray, "m n"]]


def _draw_pairs(
    vectors: QueryVectors, num_pairs: int, rng: np.random.Generator
) -> Iterator[_Pairs]:
    """Random pairs of queries (all, spatial and temporal), with one row per stratum."""
    num_frames, num_places = vectors.num_frames, vectors.num_places
    t, other_t = np.divmod(np.arange(num_frames**2), num_frames)
    shape = len(t), max(2, math.ceil(num_pairs / len(t)))
    places, others = rng.integers(num_places, size=(2, *shape))
    yield t[:, None] * num_places + places, other_t[:, None] * num_places + others

    t = np.arange(num_frames if num_places > 1 else 0)
    shape = len(t), max(2, math.ceil(num_pairs / num_frames))
    places = rng.integers(num_places, size=shape)
    others = (places + rng.integers(1, max(2, num_places), size=shape)) % num_places
    yield t[:, None] * num_places + places, t[:, None] * num_places + others

    t, other_t = np.triu_indices(num_frames, 1)  # the divergence is symmetric
    shape = len(t), max(2, math.ceil(num_pairs / max(1, len(t))))
    places = rng.integers(num_places, size=shape)
    yield t[:, None] * num_places + places, other_t[:, None] * num_places + places


def _drawn_mean(vectors: QueryVectors, pairs: _Pairs) -> tuple[float, float]:
    """Mean over the strata, and its standard error."""
    if not pairs[0].size:
        return math.nan, math.nan
    chunk = _queries_per_chunk(vectors, 2)
    parts = [torch.from_numpy(queries).flatten().split(chunk) for queries in pairs]
    divergences: list[Float[Tensor, " q"]] = []
    for first, second in zip(*parts, strict=True):
        v, w = vectors.read(first).double(), vectors.read(second).double()
        divergence = _entropy((v + w) / 2) - (_entropy(v) + _entropy(w)) / 2
        divergences.append(divergence.clamp(min=0).mean(0))
    values = torch.cat(divergences).unflatten(0, pairs[0].shape)
    error = (values.var(1) / values.shape[1]).sum().sqrt() / len(values)
    return values.mean().item(), error.item()
