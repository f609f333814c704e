"""Paired answers: mean and spread over seeds, and exact tests of their difference."""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, islice

import numpy as np


def mcnemar_p_value(num_better: int, num_worse: int) -> float:
    """Exact two-sided p-value of McNemar's test: do two models differ on the same videos?

        p = min(1, 2 sum_{i <= min(b, w)} C(b + w, i) / 2^(b + w))

    Only discordant pairs count, those that one model has right and the other wrong. The test tells
    whether the difference would hold on other videos of the same kind for these very weights, not with
    other seeds. It is too small when several pairs belong to one video, as when seeds are pooled.

    Source: McNemar, Psychometrika 12 (1947); the exact form is the sign test.
    """
    num_pairs = num_better + num_worse
    tail = sum(islice(_binomial_coefficients(num_pairs), min(num_better, num_worse) + 1))
    return min(1.0, 2 * tail / 2**num_pairs)


def sign_flip_p_value(differences: Iterable[int]) -> float:
    """Exact two-sided p-value of the sign-flip permutation test of the sum of differences.

        p = P(|sum_v e_v d_v| >= |sum_v d_v|),  e_v = +1 or -1 with probability 1/2 each

    ``d_v`` sums the answers of all seeds on video v, +1 where only the first model is right and -1
    where only the second is. A video is flipped as a whole, so that its seeds, which mostly agree, do
    not count as separate evidence; with one seed the test is McNemar's. It tells whether the difference
    would hold on other videos, not with other seeds.

    All 2^n flips are counted, by convolution: differences of equal size have a binomial sum.
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
    """P-values adjusted for their number: the chance of even one false find below 0.05 is at most 0.05.

        p'_(i) = max_{j <= i} min(1, (m - j + 1) p_(j)),  p_(1) <= ... <= p_(m)

    Holds however the tests depend on each other, and a common baseline makes them dependent.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    order = np.argsort(p_values)
    adjusted = np.empty(len(order))
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.maximum.accumulate(factors * np.sort(p_values)).clip(max=1)
    return adjusted.tolist()


def _binomial_coefficients(n: int) -> Iterator[int]:
    return accumulate(range(n), lambda ways, k: ways * (n - k) // (k + 1), initial=1)


@dataclass(frozen=True)
class SeedValues:
    """One number per seed, with mean and spread."""

    values: Mapping[int, float]

    @property
    def mean(self) -> float | None:
        """None without seeds."""
        return statistics.mean(self.values.values()) if self.values else None

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds, with n - 1 in the denominator; None for fewer than two."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None


@dataclass(frozen=True)
class PairedDifference:
    """A model against another one on the same videos, with the same seeds.

    ``answers`` are by seed and video: +1 if only the first model is right, -1 if only the second, else 0.
    """

    answers: Mapping[int, Mapping[str, int]]

    @cached_property
    def num_better(self) -> dict[int, int]:
        """Videos that only the first model has right, by seed."""
        return {seed: [*row.values()].count(1) for seed, row in self.answers.items()}

    @cached_property
    def num_worse(self) -> dict[int, int]:
        """Videos that only the second model has right, by seed."""
        return {seed: [*row.values()].count(-1) for seed, row in self.answers.items()}

    @cached_property
    def top1(self) -> SeedValues:
        """Difference of the top-1 accuracies, in [-1, 1]."""
        return SeedValues(
            {seed: sum(row.values()) / len(row) for seed, row in self.answers.items()}
        )

    @cached_property
    def mcnemar(self) -> dict[int, float]:
        """P-value of McNemar's test, by seed."""
        counts = zip(self.answers, self.num_better.values(), self.num_worse.values(), strict=True)
        return {seed: mcnemar_p_value(better, worse) for seed, better, worse in counts}

    @cached_property
    def pooled_mcnemar(self) -> float:
        """P-value of McNemar's test if the pairs of all seeds were independent, which they are not."""
        return mcnemar_p_value(sum(self.num_better.values()), sum(self.num_worse.values()))

    @cached_property
    def clustered(self) -> float:
        """P-value of the sign-flip test, in which the answers of all seeds on a video stay together."""
        sums: Counter[str] = Counter()
        for row in self.answers.values():
            sums.update(row)
        return sign_flip_p_value(sums.values())
