"""The order of videos and batches, over epochs, ranks and interruptions."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from itertools import accumulate, cycle, islice

import numpy as np
from torch.utils.data import Sampler

from gcvideo.data.loading._multigrid import ClipShape, MultigridSchedule

# Epoch, video and, with multigrid, what the clips look like.
TrainingKey = tuple[int, int] | tuple[int, int, ClipShape]
# Videos of a batch and, with multigrid, what the clips look like.
BatchTurn = tuple[int, ClipShape | None]


@dataclass(eq=False)
class EpochSampler(Sampler[tuple[int, int]]):
    """Shuffled videos of one rank as ``(epoch, video)``, a pure function of (seed, epoch).

    The permutation of an epoch is cut into equal shares; at most ``world_size - 1`` videos are left out
    of an epoch, and others the next time. Nothing is repeated, unlike in ``DistributedSampler``. Raises
    ValueError if there are fewer videos than ranks.
    """

    num_videos: int
    _: KW_ONLY
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    epoch: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.num_videos < self.world_size:
            raise ValueError(
                f"{self.num_videos} training videos for {self.world_size} processes; use fewer devices"
            )

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_videos // self.world_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_videos)
        share = order[self.rank :: self.world_size][: len(self)]
        return ((self.epoch, int(video)) for video in share)


@dataclass(eq=False)
class EpochBatchSampler(Sampler[list[TrainingKey]]):
    """Batches of one rank; the first epoch after a resume starts where the run was interrupted.

    A last batch that would not be full is left out: few clips give poor batch statistics, and its
    videos come in another epoch. If batch sizes are inversely proportional to the number of ranks, batch
    k has the same videos over all ranks, also where the sizes vary. With ``multigrid``, ``batch_size`` is
    that of the base shape, and shapes are part of the keys.
    """

    sampler: EpochSampler
    batch_size: int
    multigrid: MultigridSchedule | None = None
    _resumed_epoch: int = field(init=False, default=0)
    _num_seen: int = field(init=False, default=0)

    def resume(self, epoch: int, num_batches: int) -> None:
        """Leave out the first batches of an epoch, which were seen before an interruption."""
        self.sampler.set_epoch(epoch)
        self._resumed_epoch, self._num_seen = epoch, num_batches

    def __len__(self) -> int:
        """Batches of the whole epoch of the sampler."""
        ends = list(accumulate(size for size, _ in self.turns()))
        cycles, rest = divmod(len(self.sampler), ends[-1])
        return cycles * len(ends) + sum(end <= rest for end in ends)

    def __iter__(self) -> Iterator[list[TrainingKey]]:
        first = self._num_seen if self.sampler.epoch == self._resumed_epoch else 0
        keys = iter(self.sampler)
        # All at once, because the epoch may change before the first batch is requested.
        batches: list[list[TrainingKey]] = [
            [key if clip is None else (*key, clip) for key in islice(keys, size)]
            for size, clip in islice(cycle(self.turns()), len(self))
        ]
        return iter(batches[first:])

    def turns(self) -> list[BatchTurn]:
        """Batches of the epoch of the sampler that follow each other, again and again."""
        if self.multigrid is None:
            return [(self.batch_size, None)]
        shapes = self.multigrid.short_cycle_shapes(self.sampler.epoch)
        return [(self.batch_size * shape.factor, shape.clip) for shape in shapes]
