"""Exact tests of paired right and wrong answers, without tables or random numbers."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np


def mcnemar_p_value(num_better: int, num_worse: int) -> float:
    """Exact two-sided p-value of McNemar's test: do two models differ on the same videos?

        p = min(1, 2 sum_{i <= min(b, w)} C(b + w, i) / 2^(b + w))

    Only discordant pairs count, those that one model has right and the other wrong; if the models
    were equally good, each would fall to either side with probability 1/2. Tells whether the
    difference would stand on other videos of the same kind, for these very weights. Does not tell
    whether it would stand with other seeds, and is too small when several pairs belong to one video,
    as when seeds are pooled: see :func:`sign_flip_p_value`.

    Args:
        num_better: pairs that only the first model has right.
        num_worse: pairs that only the second model has right.

    Raises:
        ValueError: for a negative number of pairs.

    Source: McNemar, Psychometrika 12 (1947); the exact form is the sign test.
    """
    if min(num_better, num_worse) < 0:
        raise ValueError(
            f"there cannot be {num_better} better and {num_worse} worse pairs; count from 0"
        )
    num_pairs = num_better + num_worse
    coefficients = _binomial_coefficients(num_pairs)
    tail = sum(next(coefficients) for _ in range(min(num_better, num_worse) + 1))
    return min(1.0, 2 * tail / 2**num_pairs)


def sign_flip_p_value(differences: Iterable[int]) -> float:
    """Exact two-sided p-value of the sign-flip permutation test of the sum of differences.

        p = P(|sum_v e_v d_v| >= |sum_v d_v|),  e_v = +1 or -1 with probability 1/2 each

    ``d_v`` sums the answers of all seeds on video v, +1 where only the first model is right and -1
    where only the second is. A video is flipped as a whole, so that its seeds, which mostly agree, do
    not count as evidence of their own; with one seed the test is McNemar's. Tells whether the
    difference of the mean over these seeds would stand on other videos. Does not tell whether it
    would stand with other seeds: videos vary here, seeds do not, and with three of them their spread
    is the other half of the truth.

    All 2^n flips are counted, by convolution: differences of equal size have a binomial sum.

    Args:
        differences: one whole number per video.
    """
    differences = [int(difference) for difference in differences]
    sizes = Counter(abs(difference) for difference in differences if difference)
    probabilities = np.ones(1)  # of each sum of the differences whose sign is +
    for size, count in sorted(sizes.items()):
        sums = np.zeros(size * count + 1)
        sums[::size] = [ways / 2**count for ways in _binomial_coefficients(count)]
        probabilities = np.convolve(probabilities, sums)
    flipped = 2 * np.arange(len(probabilities)) - (len(probabilities) - 1)
    return min(1.0, float(probabilities[abs(flipped) >= abs(sum(differences))].sum()))


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number: even one false find below 0.05 has a chance of 0.05.

        p'_(i) = max_{j <= i} min(1, (m - j + 1) p_(j)),  p_(1) <= ... <= p_(m)

    Holds however the tests depend on each other, as they do through a common baseline.

    Args:
        p_values: of all comparisons that were made, interesting or not.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _binomial_coefficients(n: int) -> Iterator[int]:
    coefficient = 1
    for k in range(n + 1):
        yield coefficient
        coefficient = coefficient * (n - k) // (k + 1)
