"""Exact reading of individual frames from video files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from operator import attrgetter
from pathlib import Path

import av.error
import numpy as np
from av import Packet
from av.video import VideoFrame
from av.video.reformatter import VideoReformatter
from jaxtyping import Int, Int64, UInt8

from gcvideo.data.video._clock import FrameClock
from gcvideo.data.video._container import BinaryFile, VideoReadError, decode_packets, open_video
from gcvideo.data.video._conversion import FrameArray
from gcvideo.data.video._resizing import DecodeSize
from gcvideo.data.video._timeline import Timeline, VideoInfo, counted_timeline, scan_packets

_SIZE = attrgetter("size")  # 0 without content


class _MismatchError(VideoReadError):
    """The decoder gives other frames than the packets promised."""


class VideoReader:
    """A video file opened for reading frames by their index in display order.

    Frame i is bit for bit frame i of a decode from the first packet to the last. A read seeks to the last
    keyframe before a wanted frame, decodes only what wanted frames may refer to, and identifies frames by
    their time stamps. If the container does not stamp every displayed frame, or a read finds its stamps
    to be wrong, frames are counted by decoding instead. Frames whose size differs from that of the first
    are resized to it.

    Args:
        path: file to read, or open binary file that can seek, such as ``io.BytesIO``.
        timeline: times of the same file from an earlier reader; None: its packets are scanned.
        tolerant: whether packets that cannot be decoded are left out and counted in ``num_damaged``.
        square_pixels: whether frames with oblong pixels are resized to square ones, as in players: to the
            stored width times the sample aspect ratio, bicubic.

    Raises:
        VideoReadError: if the file is missing, is not a video, or cannot be decoded.
    """

    def __init__(
        self,
        path: str | Path | BinaryFile,
        *,
        timeline: Timeline | None = None,
        tolerant: bool = False,
        square_pixels: bool = False,
    ) -> None:
        self._file = None if isinstance(path, str | Path) else path
        self.path = str(getattr(path, "name", "video in memory") if self._file else path)
        self.num_damaged = 0
        self._tolerant = tolerant
        self._square_pixels = square_pixels
        # One context for all frames: PyAV's default of one per frame costs more than decoding.
        self._reformatter = VideoReformatter()
        self._container, self._stream = open_video(
            self.path, file=self._file, probe=timeline is None
        )
        self._is_at_start = True
        try:
            with _named_errors(self.path):
                self.timeline = timeline or self._scan()
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> VideoInfo:
        return self.timeline.info

    def read(
        self,
        indices: Sequence[int] | Int[np.ndarray, "t"],
        *,
        short_side: int | DecodeSize | None = None,
    ) -> UInt8[np.ndarray, "t h w 3"]:
        """RGB frames in the order of ``indices``, which may repeat; each is decoded once.

        Args:
            indices: numbers of frames in display order.
            short_side: pixels, or decode size of a protocol; videos at least twice as large are scaled
                down to it (area average) when their colours are converted; others keep their size.

        Raises:
            IndexError: if an index is not in [0, num_frames).
            VideoReadError: if the file is broken before or at a wanted frame.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        outside = wanted[(wanted < 0) | (wanted >= self.info.num_frames)]
        if len(outside):
            raise IndexError(
                f"frame {outside[0]} of '{self.path}' does not exist: the video has "
                f"{self.info.num_frames} frames; use indices 0 to {self.info.num_frames - 1}"
            )
        with _named_errors(self.path):
            frames = self._array(wanted, short_side)
            if self.timeline.is_direct and len(wanted):
                try:
                    self._read_directly(frames, self.timeline.stamps)
                except (_MismatchError, av.error.FFmpegError):
                    self._distrust_packets(wanted)
                    frames = self._array(wanted, short_side)
            self._read_by_counting(frames)
        return frames.pixels

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._container.close()

    def _array(
        self, wanted: Int64[np.ndarray, "t"], short_side: int | DecodeSize | None
    ) -> FrameArray:
        return FrameArray(wanted, self.info, self._reformatter, short_side, self._square_pixels)

    def _scan(self) -> Timeline:
        if not self._tolerant:
            scanned = scan_packets(self._container, self._stream)
            self._is_at_start = False
            if scanned is not None:
                return scanned
        return self._count()

    def _count(self) -> Timeline:
        first, clock, stamps = None, None, []
        for frame in self._decode_all():
            first = first or frame
            clock = clock or FrameClock(self._container, self._stream)
            stamps.append(clock.stamps_of(frame))
        if first is None or clock is None:
            raise VideoReadError(self.path, "no frame can be decoded")
        return counted_timeline(self._stream, first, clock, stamps)

    def _distrust_packets(self, wanted: Int[np.ndarray, "t"]) -> None:
        promised, counted = self.info.num_frames, self._count()
        # The size must stay that of the frames already read.
        info = replace(self.info, num_frames=counted.info.num_frames)
        self.timeline = replace(counted, info=info)
        if wanted.max() >= info.num_frames:
            reason = f"it has packets for {promised} frames but gives {info.num_frames}"
            raise VideoReadError(self.path, reason)

    def _read_by_counting(self, frames: FrameArray) -> None:
        if not frames.missing:
            return
        for index, frame in enumerate(self._decode_all()):
            frames.put(index, frame)
            if not frames.missing:
                return
        raise _MismatchError(self.path, "it gives fewer frames than when it was opened")

    def _read_directly(self, frames: FrameArray, times: Int64[np.ndarray, "n"]) -> None:
        index_of = {int(times[index]): index for index in frames.missing}
        keyframes = self.timeline.keyframes
        wanted = np.array(list(index_of), np.int64)
        starts = np.searchsorted(keyframes, wanted, side="right")
        later = np.flatnonzero(np.diff(starts)) + 1
        # Another seek is worthwhile if it skips at least one frame.
        left, reached = np.searchsorted(times, [wanted[later - 1], keyframes[starts[later] - 1]])
        for times_of_group in np.split(wanted, later[reached > left + 1]):
            group: list[int] = times_of_group.tolist()
            # A seek may land after its target, or where the decoder gives no frames yet (open GOPs,
            # gradual refresh). Then the keyframe before is tried, and finally the start.
            last = int(np.searchsorted(keyframes, group[0], side="right")) - 1
            for keyframe in dict.fromkeys((last, last - 1, -1)):
                due = {time for time in group if index_of[time] in frames.missing}
                for frame in self._decode_due(due, keyframe):
                    if frame.pts in due:
                        frames.put(index_of[frame.pts], frame)
                if not any(index_of[time] in frames.missing for time in group):
                    break
        if frames.missing:
            raise _MismatchError(self.path, "its packets and its frames do not agree")

    def _decode_due(self, due: set[int], keyframe: int) -> Iterator[VideoFrame]:
        """Frames from a keyframe on, until all ``due`` ones have come; others may be missing."""
        packets = self._packets_from(keyframe, min(due))
        context = self._stream.codec_context
        unwanted = "NONREF" if self.timeline.skips_unwanted else "DEFAULT"
        num_sent = 0
        for packet in packets:
            is_due = packet.pts in due
            context.skip_frame = "DEFAULT" if is_due else unwanted
            yield from packet.decode()
            num_sent += is_due
            if num_sent == len(due):
                break
        # Frames that are held back for reordering need no further packets.
        yield from context.decode(None)

    def _packets_from(self, keyframe: int, target: int) -> Iterator[Packet]:
        """Packets with content from a keyframe on; none if the seek lands after ``target`` or unclean."""
        if keyframe < 0 or (keyframe == 0 and self._is_at_start):
            self._rewind()
            return filter(_SIZE, self._container.demux(self._stream))
        keyframes = self.timeline.keyframes
        self._container.seek(int(keyframes[keyframe]), stream=self._stream)
        self._is_at_start = False
        packets = filter(_SIZE, self._container.demux(self._stream))
        first = next(packets, None)
        if first is None or first.pts is None or first.pts > target:
            return iter(())
        if first.pts > keyframes[keyframe] and first.pts not in keyframes:
            return iter(())
        return chain([first], packets)

    def _rewind(self) -> None:
        # Not every container can seek to its first packet.
        if not self._is_at_start:
            self._container.close()
            self._container, self._stream = open_video(self.path, file=self._file)
        self._is_at_start = False

    def _decode_all(self) -> Iterator[VideoFrame]:
        self._rewind()
        self.num_damaged = 0
        try:
            packets = self._container.demux(self._stream)
            yield from chain.from_iterable(decode_packets(packets, self._note_damage))
        except av.error.FFmpegError as error:
            self._note_damage(error)

    def _note_damage(self, error: Exception) -> None:
        if not self._tolerant:
            raise error
        self.num_damaged += 1


def probe(path: str | Path) -> VideoInfo:
    """Frame count, rate and size of a video; raises VideoReadError."""
    with VideoReader(path) as reader:
        return reader.info


def read_frames(
    path: str | Path, indices: Sequence[int] | Int[np.ndarray, "t"]
) -> UInt8[np.ndarray, "t h w 3"]:
    """RGB frames of a video in the order of ``indices``; raises as ``VideoReader.read`` does."""
    with VideoReader(path) as reader:
        return reader.read(indices)


@contextmanager
def _named_errors(path: str) -> Iterator[None]:
    try:
        yield
    except av.error.FFmpegError as error:
        raise VideoReadError(path, f"decoding failed ({error.strerror})") from error
