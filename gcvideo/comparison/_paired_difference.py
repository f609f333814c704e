"""Paired answers: mean and spread over seeds, and exact tests of their difference."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, islice

import numpy as np

Z95 = statistics.NormalDist().inv_cdf(0.975)


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

    ``d_v`` sums the answers of all seeds on video v, or on a group v of videos that resemble each other, +1
    where only the first model is right and -1 where only the second is. It is flipped as a whole, so that
    seeds and clips of one source, which mostly agree, do not count as separate evidence; with one seed
    and single videos the test is McNemar's. It tells whether the difference would hold on other videos, not
    with other seeds.

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


def _student_t(num_degrees: int) -> float:
    """The 97.5 % point of Student's t, to 0.003 from five degrees of freedom on; NaN for none.

    Source: the expansion in Abramowitz and Stegun, 26.7.5.
    """
    if num_degrees < 1:
        return math.nan
    z, n = Z95, num_degrees
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


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
    ``groups`` name the group of each video, for videos that resemble each other, such as the clips of one
    source; without, each video is a group.
    """

    answers: Mapping[int, Mapping[str, int]]
    groups: Mapping[str, str] | None = None

    @cached_property
    def group_sums(self) -> dict[str, int]:
        """The sum of the answers of all seeds on the videos of each group."""
        sums: Counter[str] = Counter()
        for row in self.answers.values():
            for video, answer in row.items():
                sums[self._group(video)] += answer
        return dict(sums)

    def _group(self, video: str) -> str:
        return video if self.groups is None else self.groups[video]

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
        """P-value of the sign-flip test, in which all answers of a group stay together."""
        return sign_flip_p_value(self.group_sums.values())

    @cached_property
    def standard_error(self) -> float:
        """Standard error of the mean difference over other groups of videos, with the same weights.

            se^2 = G / (G - 1) sum_g (s_g - n_g d)^2 / n^2

        with G groups of n_g answers whose sum is s_g, and the mean d of all n. NaN for a single group.
        Source: the linearised variance of a ratio, Cochran, Sampling Techniques (1977), section 6.3.
        """
        sizes: Counter[str] = Counter()
        for row in self.answers.values():
            sizes.update(map(self._group, row))
        n = np.array([sizes[group] for group in self.group_sums])
        s = np.array([*self.group_sums.values()])
        if len(n) < 2:
            return math.nan
        residuals = s - n * s.sum() / n.sum()
        return math.sqrt(len(n) / (len(n) - 1) * (residuals**2).sum()) / n.sum()

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the mean difference: d -/+ t_0.975 standard errors.

        t is Student's with one degree of freedom less than there are groups.
        """
        mean = sum(self.group_sums.values()) / sum(len(row) for row in self.answers.values())
        reach = _student_t(len(self.group_sums) - 1) * self.standard_error
        return mean - reach, mean + reach
