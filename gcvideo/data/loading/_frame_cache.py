"""Decoded frames kept in memory between epochs."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from gcvideo.data.video._decoding import VideoReader
from gcvideo.data.video._resizing import DecodeSize
from gcvideo.data.video._timeline import Timeline

_Indices = Int[np.ndarray, " u"]
_Frames = UInt8[np.ndarray, "u h w 3"]
_Clips = Int[np.ndarray, "v t"]


class _Kept(NamedTuple):
    timeline: Timeline
    indices: _Indices
    frames: _Frames


class FrameCache:
    """Frames of videos as they were decoded, so that later epochs need not open the files again.

    A video whose wanted frames are all here gives bit for bit those of its file. Frames are added until the
    limit is reached, and none makes room for another: an epoch takes every video once, so the one used
    least recently is needed next. The cache belongs to one process, and does not see that a file changes.

    Args:
        limit_bytes: memory for frames.

    Raises:
        ValueError: for a limit that is not above zero.
    """

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes <= 0:
            raise ValueError(f"limit_bytes is {limit_bytes}; it must be above 0, or use no cache")
        self.limit_bytes = limit_bytes
        self.num_bytes = 0
        self._kept: dict[tuple[str, DecodeSize, bool], _Kept] = {}

    def read(
        self,
        path: str,
        sample: Callable[[Timeline], _Clips],
        size: DecodeSize,
        *,
        timeline: Timeline | None = None,
        square_pixels: bool = False,
    ) -> tuple[_Clips, _Frames]:
        """The clips that ``sample`` draws and their distinct frames in ascending order.

        Args:
            path: file to read.
            sample: function of the times of the video, which is called once.
            size: size of the frames.
            timeline: times of the file where they are known, as for ``VideoReader``.
            square_pixels: as for ``VideoReader``.

        Raises:
            VideoReadError: if frames are wanted that are not here and cannot be read.
        """
        key = path, size, square_pixels
        kept = self._kept.get(key)
        if kept is not None:
            clips = sample(kept.timeline)
            wanted = np.unique(clips)
            places = np.searchsorted(kept.indices, wanted)
            if np.array_equal(kept.indices.take(places, mode="clip"), wanted):
                return clips, kept.frames[places]
            sample, timeline = lambda _: clips, kept.timeline
        with VideoReader(path, timeline=timeline, square_pixels=square_pixels) as reader:
            timeline = reader.timeline
            clips = sample(timeline)
            wanted = np.unique(clips)
            frames = reader.read(wanted, short_side=size)
        self._keep(key, _Kept(timeline, wanted, frames))
        return clips, frames

    def _keep(self, key: tuple[str, DecodeSize, bool], new: _Kept) -> None:
        old = self._kept.get(key)
        num_bytes = self.num_bytes
        if old is not None:
            num_bytes -= old.frames.nbytes
            indices, first = np.unique(
                np.concatenate([old.indices, new.indices]), return_index=True
            )
            new = _Kept(old.timeline, indices, np.concatenate([old.frames, new.frames])[first])
        num_bytes += new.frames.nbytes
        if num_bytes <= self.limit_bytes:
            self._kept[key] = new
            self.num_bytes = num_bytes
