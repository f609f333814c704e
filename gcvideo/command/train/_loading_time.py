"""The time in which this machine loads a training video, and the memory of frames that are kept."""

import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import NamedTuple, cast

import torch

from gcvideo.data import TrainingVideos, VideoDataModule
from gcvideo.data.loading._frame_cache import FrameCache
from gcvideo.data.loading._sampler import TrainingKey

_NUM_SAMPLES = 16


class LoadingTime(NamedTuple):
    """Seconds of decoding and transforming a video on one core, and bytes of frames kept in memory."""

    seconds: float  # mean over the epochs of a training
    kept_bytes: int = 0  # in the process that loads


def time_loading(data: VideoDataModule, num_epochs: int) -> LoadingTime:
    """Load up to 16 training videos in this process, with one thread as a worker has.

    With a frame cache they are loaded as in a first and in a second epoch. Of all videos, those that fit
    into it are then as fast as in the second, in every epoch but the first.
    """
    with warnings.catch_warnings():
        # Of more workers than cores: the machine that is planned for has its own.
        warnings.simplefilter("ignore")
        loader = data.train_dataloader()
    batches = cast(Iterable[list[TrainingKey]], loader.batch_sampler)
    first, *keys = islice(chain.from_iterable(batches), 1 + _NUM_SAMPLES)
    keys = keys or [first]
    videos = cast(TrainingVideos, loader.dataset)
    limit_bytes = 0 if videos.cache is None else videos.cache.limit_bytes
    videos.cache = FrameCache(sys.maxsize) if limit_bytes else None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _seconds_per_video(videos, [first])  # and what only the first costs
        decoding = _seconds_per_video(videos, keys)
        if videos.cache is None:
            return LoadingTime(decoding)
        bytes_per_video = videos.cache.num_bytes / len({first[1], *(key[1] for key in keys)})
        again = [cast(TrainingKey, (1, *key[1:])) for key in keys]
        first_bytes = videos.cache.num_bytes
        kept = _seconds_per_video(videos, again)
        draws_others = videos.cache.num_bytes > first_bytes
    finally:
        torch.set_num_threads(threads)
    wanted = bytes_per_video * (len(data.splits.train) + len(data.splits.val))
    share = min(1.0, limit_bytes / wanted) * (num_epochs - 1) / num_epochs
    return LoadingTime(
        share * kept + (1 - share) * decoding,
        # Frames at random places add up over the epochs.
        kept_bytes=limit_bytes if draws_others else int(min(limit_bytes, wanted)),
    )


def _seconds_per_video(videos: TrainingVideos, keys: Sequence[TrainingKey]) -> float:
    started = time.perf_counter()
    for key in keys:
        videos[key]
    return (time.perf_counter() - started) / len(keys)
