"""The batches of an optimizer step, and the mean over their clips."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor, nn

from gcvideo.data import VideoDataModule
from gcvideo.training._schedule import step_position


@dataclass(frozen=True)
class BatchGroups:
    """Batches of each optimizer step of a run: as many as asked for, or what an epoch has left.

    Args:
        accumulated: batches per step that are asked for.
        num_batches: batches of each epoch, per rank; infinite where a loader has no length.
    """

    accumulated: int
    num_batches: Sequence[float]

    @classmethod
    def of(cls, trainer: Trainer) -> "BatchGroups":
        """The groups of a fit; without a ``VideoDataModule``, known once there is a loader."""
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        epochs, limit = range(trainer.max_epochs or 1), trainer.limit_train_batches
        if isinstance(data, VideoDataModule):
            counts = [limited_batches(data.num_batches(epoch), limit) for epoch in epochs]
        else:
            counts = [trainer.num_training_batches if limit != 0 else 0 for _ in epochs]
        return cls(trainer.accumulate_grad_batches, counts)

    @property
    def largest(self) -> int:
        """Batches of most steps: fewer than ``accumulated`` if no epoch has so many."""
        return int(min(self.accumulated, max(self.num_batches, default=self.accumulated)))

    @property
    def smallest(self) -> int:
        """Batches of the smallest step, which is the last of an epoch."""
        last = ((count - 1) % self.accumulated + 1 for count in self.num_batches)
        return int(min(last, default=self.largest))

    @property
    def steps_per_epoch(self) -> list[int]:
        """Optimizer steps.

        Raises:
            ValueError: if a loader has no length.
        """
        if math.inf in self.num_batches:
            raise ValueError(
                "the training loader has no length, but the rate follows the steps of an epoch; give its "
                "data set a __len__, or set trainer.limit_train_batches to a number of batches"
            )
        return [math.ceil(count / self.accumulated) for count in self.num_batches]

    def size(self, step: int) -> int:
        """Batches of a step, counted from 0 over the whole run."""
        epoch, index = step_position(step, self.steps_per_epoch)
        if epoch == len(self.num_batches):
            return self.largest
        return int(min(self.accumulated, self.num_batches[epoch] - index * self.accumulated))


class GroupMean:
    """Makes the gradient of an optimizer step the mean over all clips of its batches.

    Lightning adds up L_i / A, with the mean loss L_i over the n_i clips of batch i and A the batches
    that are asked for, also where the group has fewer or its batches differ in size. But

        sum(n_i L_i) / sum(n_i)  =  A n_1 / sum(n_i)  *  sum(n_i / n_1 * L_i / A)

    so each loss gets the weight n_i / n_1, and the gradients of a whole group the factor
    A n_1 / sum(n_i). Both are 1 in a group of A equal batches. Ranks have equal shares.
    """

    def __init__(self) -> None:
        self._sizes: list[int] = []

    def begin(self, num_clips: int, *, is_first: bool) -> None:
        """Take note of the batch that is about to be computed, and whether it begins a group."""
        if is_first:
            self._sizes = []
        self._sizes.append(num_clips)

    def weighted(self, loss: Tensor) -> Tensor:
        """The loss of the batch as it enters the sum; unchanged outside a fit."""
        if not self._sizes or self._sizes[-1] == self._sizes[0]:
            return loss
        return loss * (self._sizes[-1] / self._sizes[0])

    def finish(self, parameters: Iterable[nn.Parameter], accumulated: int) -> None:
        """Turn the gradients, sums over a whole group, into means; ``accumulated`` is A."""
        clips = sum(self._sizes)
        if not clips or accumulated * self._sizes[0] == clips:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        torch._foreach_mul_(  # pyright: ignore[reportPrivateImportUsage]
            gradients, accumulated * self._sizes[0] / clips
        )


def limited_batches(num_batches: int, limit: float | None) -> int:
    """What Lightning's ``limit_train_batches`` leaves: a whole number counts, a float is a share."""
    if limit is None:
        return num_batches
    return min(num_batches, limit) if isinstance(limit, int) else int(num_batches * limit)
