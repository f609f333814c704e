"""Exact reading of single frames from video files; the only module that knows PyAV."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video import VideoFrame, VideoStream
from av.video.reformatter import VideoReformatter
from jaxtyping import Int, UInt8

# Where every packet is one shown frame with its own time stamp. Elsewhere (avi, mpg, raw streams;
# MPEG-4 part 2, VP8) packets may be hidden, empty, packed or stamped in decoding order.
_INDEXED_CONTAINERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
_INDEXED_CODECS = frozenset({"h264", "hevc", "av1", "vp9"})

_DEFAULT_FPS = 25.0  # FFmpeg's own assumption for streams that state no rate


class VideoReadError(Exception):
    """The file ``path`` cannot be read as a video: the reason and the remedy."""

    def __init__(
        self, path: str, reason: str, remedy: str = "replace the file or leave it out of the list"
    ) -> None:
        super().__init__(path, reason, remedy)  # all three, or it does not survive pickling
        self.path, self.reason, self.remedy = path, reason, remedy

    def __str__(self) -> str:
        return f"cannot read video '{self.path}': {self.reason}; {self.remedy}"


@dataclass(frozen=True)
class VideoInfo:
    """What a video shows, as decoded: headers are not believed where they are known to lie.

    Args:
        num_frames: frames that a full decode gives.
        fps: average frames per second, always positive.
        width: of a frame in pixels, after rotation; the sample aspect ratio is ignored.
        height: of a frame in pixels, after rotation.
        rotation: degrees counterclockwise by which the stored frames are turned: 0, 90, 180, 270.
    """

    num_frames: int
    fps: float
    width: int
    height: int
    rotation: int

    @property
    def duration_seconds(self) -> float:
        """``num_frames / fps``: the pictures alone, however long the sound lasts."""
        return self.num_frames / self.fps


class _MismatchError(VideoReadError):
    """The decoder gives other frames than the packets promised."""


class _Stamp(NamedTuple):
    """What the container says about one packet; times in units of the stream's time base."""

    time: int | None
    is_keyframe: bool
    is_hidden: bool
    is_corrupt: bool


class VideoReader:
    """A video file opened for reading frames by their index in display order.

    Frame i is frame i of a decode from the first packet to the last, bit for bit. The packets are
    scanned once for time stamps and keyframes; a read seeks to the last keyframe before the first
    wanted frame and compares every time stamp it meets with the scan. Where the container does not
    stamp every shown frame, or a read finds that it lied, frames are counted by decoding instead.
    Of several video streams FFmpeg's best is read, never cover art. Frames of another size than
    the first are resized to it.

    Raises:
        VideoReadError: if the file is missing, is no video, or does not decode.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        # One context and one thread: PyAV's default, a context per frame, costs more than decoding.
        self._reformatter = VideoReformatter()
        self._times: list[int] | None = None
        self._keyframes: list[int] = []
        self._container, self._stream = _open(self.path)
        try:
            with _named_errors(self.path):
                self.info = self._scan()
        except BaseException:
            self.close()
            raise

    def read(self, indices: Sequence[int] | Int[np.ndarray, "t"]) -> UInt8[np.ndarray, "t h w 3"]:
        """RGB frames in the order of ``indices``, which may repeat; each is decoded once.

        Raises:
            IndexError: if an index is not in [0, num_frames).
            VideoReadError: if the file is broken on the way to a wanted frame.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        outside = wanted[(wanted < 0) | (wanted >= self.info.num_frames)]
        if len(outside):
            raise IndexError(
                f"frame {outside[0]} of '{self.path}' does not exist: the video has "
                f"{self.info.num_frames} frames; use indices 0 to {self.info.num_frames - 1}"
            )
        frames = np.empty((len(wanted), self.info.height, self.info.width, 3), np.uint8)
        with _named_errors(self.path):
            try:
                self._fill(frames, wanted)
            except (_MismatchError, av.error.FFmpegError):
                if self._times is None:
                    raise
                self._distrust_packets(wanted)
                self._fill(frames, wanted)
        return frames

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._container.close()

    def _scan(self) -> VideoInfo:
        stamps: list[_Stamp] = []
        first: VideoFrame | None = None
        for packet in self._container.demux(self._stream):
            if packet.size:
                first = first or next(iter(packet.decode()), None)
                flags = packet.is_keyframe, packet.is_discard, packet.is_corrupt
                stamps.append(_Stamp(packet.pts, *flags))
        first = first or next(iter(self._stream.codec_context.decode(None)), None)
        if first is None:
            raise VideoReadError(self.path, "no frame can be decoded")
        codec = self._stream.codec_context.codec.canonical_name
        indexed = self._container.format.name in _INDEXED_CONTAINERS and codec in _INDEXED_CODECS
        if indexed and _is_consistent(stamps, first.pts):
            self._times = sorted(s.time for s in stamps if s.time is not None and not s.is_hidden)
            self._keyframes = sorted(s.time for s in stamps if s.time is not None and s.is_keyframe)
            num_frames = len(self._times)
        else:
            num_frames = sum(1 for _ in self._decode_all())
        fps = _frames_per_second(self._container, self._stream, num_frames)
        self._stored_size = width, height = first.width, first.height
        rotation = round(first.rotation / 90) % 4 * 90
        width, height = (height, width) if rotation % 180 else (width, height)
        return VideoInfo(num_frames, fps, width, height, rotation)

    def _distrust_packets(self, wanted: Int[np.ndarray, "t"]) -> None:
        promised, self._times = self.info.num_frames, None
        self.info = replace(self.info, num_frames=sum(1 for _ in self._decode_all()))
        if wanted.max() >= self.info.num_frames:
            reason = f"it has packets for {promised} frames but gives {self.info.num_frames}"
            raise VideoReadError(self.path, reason)

    def _fill(self, frames: UInt8[np.ndarray, "t h w 3"], wanted: Int[np.ndarray, "t"]) -> None:
        pending = set(wanted.tolist())
        for index, frame in self._decode_from(min(pending, default=0)):
            if index in pending:
                frames[wanted == index] = self._to_rgb(frame)
                pending.remove(index)
            if not pending:
                return
        raise _MismatchError(self.path, "its packets and its frames do not agree")

    def _decode_from(self, target: int) -> Iterator[tuple[int, VideoFrame]]:
        """Numbered frames from a keyframe at or before frame ``target`` on."""
        if self._times is None:
            yield from enumerate(self._decode_all())
            return
        first, frames = self._land(target)
        for index, frame in enumerate(frames, start=first):
            if index >= len(self._times) or frame.pts != self._times[index]:
                raise _MismatchError(self.path, "its packets and its frames do not agree")
            yield index, frame

    def _land(self, target: int) -> tuple[int, Iterator[VideoFrame]]:
        """Seek so that decoding starts at or before ``target``; index of its first frame."""
        times = self._times or []
        reachable = self._keyframes[: bisect_right(self._keyframes, times[target])]
        for keyframe in reversed(reachable):
            self._container.seek(keyframe, stream=self._stream)
            frames = self._decode()
            first = next(frames, None)
            # A seek may land past its target: open-GOP HEVC drops the frames that lead a keyframe.
            if first is not None and first.pts is not None and first.pts <= times[target]:
                return bisect_left(times, first.pts), chain([first], frames)
        return 0, self._decode_all()

    def _decode_all(self) -> Iterator[VideoFrame]:
        # Opened anew: not every container can seek to its very first packet.
        self._container.close()
        self._container, self._stream = _open(self.path)
        return self._decode()

    def _decode(self) -> Iterator[VideoFrame]:
        for packet in self._container.demux(self._stream):
            # Decoders refuse empty packets, which stand for "show the last frame again" (Theora).
            if packet.size:
                yield from packet.decode()
        yield from self._stream.codec_context.decode(None)

    def _to_rgb(self, frame: VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
        rgb = self._reformatter.reformat(frame, *self._stored_size, format="rgb24", threads=1)
        return np.rot90(rgb.to_ndarray(), self.info.rotation // 90)


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


def _open(path: str) -> tuple[InputContainer, VideoStream]:
    file = Path(path).absolute()  # a relative name with a colon would be taken for a protocol
    if not file.is_file():
        raise VideoReadError(path, "there is no such file", "check the path and data.root")
    try:
        # Tags in other encodings than UTF-8 are common (HMDB51); PyAV 19 takes them unasked.
        old = int(av.__version__.split(".")[0]) < 19
        container = av.open(str(file), metadata_errors="replace") if old else av.open(str(file))
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise VideoReadError(path, *_why_not_a_video(file)) from error
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        container.close()
        raise VideoReadError(path, "it has no video stream")
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    # Before the first frame is decoded, or PyAV takes every CPU in every worker.
    stream.codec_context.thread_count = 1
    stream.codec_context.thread_type = "SLICE"
    return container, stream


def _why_not_a_video(file: Path) -> tuple[str, ...]:
    with file.open("rb") as stream:
        start = stream.read(512).lstrip().lower()
    if not start:
        return ("the file is empty", "download it again or leave it out of the list")
    if start.startswith(b"version https://git-lfs"):
        return ("it is a Git LFS pointer", "run `git lfs pull`")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return ("it looks like an HTML page, not a video", "download it again")
    return ("FFmpeg does not recognise it as a video",)


def _is_consistent(stamps: list[_Stamp], first_time: int | None) -> bool:
    """Whether frame i must be the packet with the i-th smallest time stamp."""
    times = [stamp.time for stamp in stamps if stamp.time is not None]
    if len(set(times)) < len(stamps) or any(stamp.is_corrupt for stamp in stamps):
        return False
    # Frames shown before the first keyframe lack their references: decoders drop them.
    starts_clean = stamps[0].is_keyframe and stamps[0].time == min(times)
    shown = (s.time for s in stamps if s.time is not None and not s.is_hidden)
    return starts_clean and first_time == min(shown, default=None)


def _frames_per_second(container: InputContainer, stream: VideoStream, num_frames: int) -> float:
    rate = stream.average_rate or stream.guessed_rate  # unset: None, from PyAV 19 on 0/1
    if rate:
        return rate.numerator / rate.denominator
    if container.duration:
        return num_frames * 1_000_000 / container.duration
    return _DEFAULT_FPS
