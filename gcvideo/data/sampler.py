from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler[tuple[int, int]]):
    """Shuffled videos of one rank as ``(epoch, video)``, a pure function of (seed, epoch).

    The permutation of an epoch is cut into equal shares; at most ``world_size - 1`` videos sit out
    an epoch, others the next time. Nothing is repeated, unlike in ``DistributedSampler``.

    Raises:
        ValueError: if there are fewer videos than ranks.
    """

    def __init__(
        self, num_videos: int, *, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        if num_videos < world_size:
            raise ValueError(
                f"{num_videos} training videos for {world_size} processes; use fewer devices"
            )
        self.num_videos = num_videos
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_videos // self.world_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_videos)
        share = order[self.rank :: self.world_size][: len(self)]
        return ((self.epoch, int(video)) for video in share)


class EpochBatchSampler(Sampler[list[tuple[int, int]]]):
    """Batches of one rank; the first epoch after a resume starts where the run was interrupted.

    A last batch that would not be full is left out: few clips give poor batch statistics, and its
    videos come another epoch. With batch sizes in inverse proportion to the number of ranks, batch k
    holds the same videos over all ranks.

    Args:
        sampler: the videos of the rank.
        batch_size: videos per batch.
    """

    def __init__(self, sampler: EpochSampler, batch_size: int) -> None:
        self.sampler = sampler
        self.batch_size = batch_size
        self._resumed_epoch, self._num_seen = 0, 0

    def resume(self, epoch: int, num_batches: int) -> None:
        """Leave out the first batches of an epoch, which were seen before an interruption."""
        self.sampler.set_epoch(epoch)
        self._resumed_epoch, self._num_seen = epoch, num_batches

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return len(self.sampler) // self.batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        first = self._num_seen if self.sampler.epoch == self._resumed_epoch else 0
        keys, size = list(self.sampler), self.batch_size
        return (keys[batch * size : (batch + 1) * size] for batch in range(first, len(self)))


class ExactSampler(Sampler[int]):
    """Every video once over all ranks, in order, without padding: ranks may differ by one video."""

    def __init__(self, num_videos: int, *, rank: int = 0, world_size: int = 1) -> None:
        self.videos = range(rank, num_videos, world_size)

    def __len__(self) -> int:
        return len(self.videos)

    def __iter__(self) -> Iterator[int]:
        return iter(self.videos)
