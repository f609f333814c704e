"""Rates over the epochs of a run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Schedule(Protocol):
    """Factor on the base rates as a pure function of the fractional epoch."""

    def factor(self, epoch: float, num_epochs: float) -> float: ...


def highest_factor(schedule: Schedule, num_epochs: int) -> float:
    """The largest factor of a whole run, at a thousand points of it."""
    return max(schedule.factor(float(e), num_epochs) for e in np.linspace(0, num_epochs, 1001)[:-1])


def step_position(step: int, steps_per_epoch: Sequence[int]) -> tuple[int, int]:
    """The epoch of an optimizer step of the run and its number in it, both counted from 0.

    A step behind the run has the number of epochs and 0.
    """
    ends = np.cumsum(steps_per_epoch)
    epoch = int(np.searchsorted(ends, step, side="right"))
    if epoch == len(ends):
        return epoch, 0
    return epoch, step - (int(ends[epoch]) - steps_per_epoch[epoch])


def fractional_epoch(step: int, steps_per_epoch: Sequence[int]) -> float:
    """Epochs that are over after ``step`` optimizer steps of the run; epochs may differ in length."""
    epoch, index = step_position(step, steps_per_epoch)
    return epoch + (index / steps_per_epoch[epoch] if index else 0.0)


@dataclass(frozen=True, kw_only=True)
class WarmupCosine:
    """Half-cosine to zero with a linear warm-up, per iteration.

        cosine(e) = (1 + cos(pi e / E)) / 2
        warm-up:  from ``start`` to cosine(warmup_epochs), linear in e

    As in PySlowFast, the warm-up ends on the cosine and not at 1. A pure function of the epoch, so
    a resumed run continues on the same curve.
    Source: Feichtenhofer et al., SlowFast Networks.

    Args:
        warmup_epochs: length of the warm-up.
        start: factor of the first iteration.
    """

    warmup_epochs: float = 0.0
    start: float = 0.1

    def factor(self, epoch: float, num_epochs: float) -> float:
        def cosine(e: float) -> float:
            return 0.5 * (1 + math.cos(math.pi * min(e / num_epochs, 1.0)))

        if epoch < self.warmup_epochs:
            end = cosine(self.warmup_epochs)
            return self.start + (end - self.start) * epoch / self.warmup_epochs
        return cosine(epoch)


@dataclass(frozen=True, kw_only=True)
class WarmupSteps:
    """Rate multiplied by ``gamma`` at each milestone, with a linear warm-up, per iteration.

    Args:
        milestones: epochs of the drops, ascending.
        gamma: factor of each drop.
        warmup_epochs: length of the warm-up from ``start`` to 1.
        start: factor of the first iteration.

    Raises:
        ValueError: if the milestones do not ascend.
    """

    milestones: Sequence[float]
    gamma: float = 0.1
    warmup_epochs: float = 0.0
    start: float = 0.1

    def __post_init__(self) -> None:
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(
                f"milestones are {list(self.milestones)}; list each epoch once, in ascending order"
            )

    def factor(self, epoch: float, num_epochs: float) -> float:
        del num_epochs
        if epoch < self.warmup_epochs:
            return self.start + (1 - self.start) * epoch / self.warmup_epochs
        return self.gamma ** sum(epoch >= milestone for milestone in self.milestones)
