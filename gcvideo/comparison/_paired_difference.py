import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from gcvideo.comparison._significance import mcnemar_p_value, sign_flip_p_value


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
        """Standard deviation over seeds, with n - 1 below the fraction; None for less than two."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None


@dataclass(frozen=True)
class PairedDifference:
    """A model against another one on the same videos, with the same seeds.

    Args:
        answers: by seed and video, +1 if only the first model is right, -1 if only the second, else 0.
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
            {
                seed: (self.num_better[seed] - self.num_worse[seed]) / len(row)
                for seed, row in self.answers.items()
            }
        )

    @cached_property
    def mcnemar(self) -> dict[int, float]:
        """P-value of McNemar's test, by seed."""
        return {
            seed: mcnemar_p_value(self.num_better[seed], self.num_worse[seed])
            for seed in self.answers
        }

    @cached_property
    def pooled_mcnemar(self) -> float:
        """P-value of McNemar's test if the pairs of all seeds were independent, which they are not."""
        return mcnemar_p_value(sum(self.num_better.values()), sum(self.num_worse.values()))

    @cached_property
    def clustered(self) -> float:
        """P-value of the sign-flip test, in which the answers of all seeds on a video go together."""
        sums: Counter[str] = Counter()
        for row in self.answers.values():
            sums.update(row)
        return sign_flip_p_value(sums.values())
