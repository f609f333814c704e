"""Decoding a video from end to end to see whether it is whole."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Literal

import av.error
import numpy as np
from av import Packet
from av.container import InputContainer
from av.video import VideoFrame, VideoStream
from av.video.reformatter import VideoReformatter
from jaxtyping import Int64

from gcvideo.data.video._clock import FrameClock
from gcvideo.data.video._colour import convert_frame, settle_matrix
from gcvideo.data.video._container import VideoReadError, open_video
from gcvideo.data.video._deadline import run_within
from gcvideo.data.video._orientation import AS_STORED
from gcvideo.data.video._timeline import Timeline, counted_timeline, scan_packets

Status = Literal["ok", "damaged", "unreadable"]
_SECONDS_A_STEP = 0.5
_MAX_RATE_ERROR = 0.03


@dataclass(frozen=True, slots=True)
class VideoCheck:
    """What a decode from the first packet to the last found.

    Args:
        status: ok; damaged: frames come, but not all or not as promised; unreadable: none come.
        reason: why it is not ok, else empty.
        num_frames: decoded.
        num_promised: frames that the time stamps of the packets promise; None where they do not tell.
        damaged_packets: that did not decode.
        corrupt_frames: decoded ones that the decoder itself marks as corrupt.
        fps: average frames per second; 0 if unreadable.
        width: of the first frame in pixels, as it is shown; 0 if unreadable.
        height: of the first frame in pixels, as it is shown; 0 if unreadable.
        sample_aspect_ratio: width of a stored pixel over its height, such as 16:11.
        remarks: what is unusual about it, though it is read, parted by "; ".
    """

    status: Status
    reason: str = ""
    num_frames: int = 0
    num_promised: int | None = None
    damaged_packets: int = 0
    corrupt_frames: int = 0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    sample_aspect_ratio: str = "1:1"
    remarks: str = ""

    @property
    def duration_seconds(self) -> float:
        """``num_frames / fps``; 0 if unreadable."""
        return self.num_frames / self.fps if self.fps else 0.0


def check_video(path: str, *, time_budget_seconds: float | None = None) -> VideoCheck:
    """Decode a video from end to end, and convert a frame of each kind in it to RGB.

    A kind is a pixel format, a size and colour tags. Packets that do not decode are left out and
    counted, as a tolerant :class:`~gcvideo.data.VideoReader` does. Where packets are enough for it to
    tell the frames, number and time stamps of the decoded ones are compared with what they promise.

    Args:
        path: of the file.
        time_budget_seconds: without any progress, after which the file counts as unreadable; a long
            video may take longer in all. None: no limit.
    """
    steps = _examine(path)
    found = None
    try:
        while found is None:
            found = run_within(time_budget_seconds, path, partial(next, steps))
    except VideoReadError as error:
        return VideoCheck("unreadable", error.reason)
    return found


def _examine(path: str) -> Iterator[VideoCheck | None]:
    """None every now and then while it decodes, at last the finding."""
    try:
        promised = _promised_times(path)
        yield None
        container, stream = open_video(path)
        with container:
            decode = _Decode(container, stream, promised)
            yield from decode
            yield decode.finding()
    except VideoReadError as error:
        yield VideoCheck("unreadable", error.reason)
    except Exception as error:
        # Whatever it is, a training would meet it too; one file must not end the check of all.
        yield VideoCheck("unreadable", f"{type(error).__name__}: {error}")


def _promised_times(path: str) -> Int64[np.ndarray, " n"] | None:
    container, stream = open_video(path)
    with container:
        try:
            timeline = scan_packets(container, stream)
        except av.error.FFmpegError:
            return None  # the decode tells more
    return timeline.stamps if timeline else None


class _Decode:
    """One pass over all packets; iterating does it step by step."""

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        promised: Int64[np.ndarray, " n"] | None,
    ) -> None:
        self._container, self._stream, self._promised = container, stream, promised
        self._first: VideoFrame | None = None
        self._clock, self._stamps = FrameClock(container, stream), []
        self._error: av.error.FFmpegError | None = None
        self._num_frames = self._num_damaged = self._num_corrupt = 0
        self._conversion = _Conversion()
        self._has_promised_times = True

    def __iter__(self) -> Iterator[None]:
        mark = time.monotonic()
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                self._note(error)
                frames = []
            for frame in frames:
                self._count(frame)
            if time.monotonic() > mark + _SECONDS_A_STEP:
                yield None
                mark = time.monotonic()

    def finding(self) -> VideoCheck:
        if self._first is None:
            reason = "no frame can be decoded"
            return VideoCheck(
                "unreadable", f"{reason} ({self._error.strerror})" if self._error else reason
            )
        if self._conversion.num_failed == self._num_frames:
            return VideoCheck("unreadable", self._conversion.reason)
        timeline = counted_timeline(self._stream, self._first, self._clock, self._stamps)
        info = timeline.info
        aspect = f"{info.sample_aspect_ratio.numerator}:{info.sample_aspect_ratio.denominator}"
        remarks = [*self._conversion.remarks, *_odd_times(timeline, self._clock.stated)]
        if info.orientation != AS_STORED:
            remarks.append(f"shown {info.orientation}")
        if info.sample_aspect_ratio != 1:
            remarks.append(f"pixels of {aspect}")
        reason = self._reason()
        return VideoCheck(
            status="damaged" if reason else "ok",
            reason=reason,
            num_frames=self._num_frames,
            num_promised=None if self._promised is None else len(self._promised),
            damaged_packets=self._num_damaged,
            corrupt_frames=self._num_corrupt,
            fps=info.fps,
            width=info.width,
            height=info.height,
            sample_aspect_ratio=aspect,
            remarks="; ".join(remarks),
        )

    def _packets(self) -> Iterator[Packet]:
        try:
            for packet in self._container.demux(self._stream):
                # The last packet is empty and drains the decoder; others stand for "show the last
                # frame again" (Theora), and decoders refuse them.
                if packet.size or packet.dts is None:
                    yield packet
        except av.error.FFmpegError as error:
            self._note(error)

    def _note(self, error: av.error.FFmpegError) -> None:
        self._num_damaged += 1
        self._error = self._error or error

    def _count(self, frame: VideoFrame) -> None:
        self._first = self._first or frame
        self._num_corrupt += frame.is_corrupt
        if self._promised is not None and self._num_frames < len(self._promised):
            self._has_promised_times &= frame.pts == self._promised[self._num_frames]
        self._stamps.append(self._clock.stamps_of(frame))
        self._num_frames += 1
        self._conversion.attempt(frame)

    def _reason(self) -> str:
        if self._error is not None:
            return f"packets that do not decode: {self._num_damaged} ({self._error.strerror})"
        if self._num_corrupt:
            return f"frames that the decoder marks as corrupt: {self._num_corrupt}"
        if self._conversion.num_failed:
            return self._conversion.reason
        if self._promised is not None and self._num_frames != len(self._promised):
            return f"it has packets for {len(self._promised)} frames but gives {self._num_frames}"
        if not self._has_promised_times:
            return "its frames have other time stamps than its packets"
        return ""


def _odd_times(timeline: Timeline, stated: Sequence[Fraction]) -> list[str]:
    remarks, fps = [], timeline.info.fps
    if not stated:
        remarks.append("no frame rate in its header")
    elif all(abs(float(rate) / fps - 1) > _MAX_RATE_ERROR for rate in stated):
        remarks.append(f"a frame rate of {float(stated[0]):.4g} in its header")
    steps = np.diff(timeline.seconds) * fps
    if len(steps) and (steps.min() < 0.5 or steps.max() > 1.5):
        remarks.append("variable frame rate")
    return remarks


class _Conversion:
    """Whether frames can be converted to RGB: tried with the first of each kind."""

    def __init__(self) -> None:
        self.num_failed = 0
        self.remarks: dict[str, None] = {}  # in the order of the frames
        self._reformatter = VideoReformatter()
        self._failures: dict[tuple[object, ...], str] = {}

    @property
    def reason(self) -> str:
        failures = ", ".join(dict.fromkeys(filter(None, self._failures.values())))
        return f"frames that cannot be converted to RGB: {self.num_failed} ({failures})"

    def attempt(self, frame: VideoFrame) -> None:
        """Count a frame."""
        colour = frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries
        kind = frame.format.name, frame.width, frame.height, *colour
        if kind not in self._failures:
            self._failures[kind] = self._failure(frame)
        self.num_failed += self._failures[kind] != ""

    def _failure(self, frame: VideoFrame) -> str:
        if remark := settle_matrix(frame):
            self.remarks[remark] = None
        try:
            convert_frame(self._reformatter, frame, frame.width, frame.height, format="rgb24")
        except av.error.FFmpegError as error:
            return f"{frame.format.name}: {error.strerror}"
        return ""
