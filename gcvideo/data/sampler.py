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


class ExactSampler(Sampler[int]):
    """Every video once over all ranks, in order, without padding: ranks may differ by one video."""

    def __init__(self, num_videos: int, *, rank: int = 0, world_size: int = 1) -> None:
        self.videos = range(rank, num_videos, world_size)

    def __len__(self) -> int:
        return len(self.videos)

    def __iter__(self) -> Iterator[int]:
        return iter(self.videos)
