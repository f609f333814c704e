"""The check of a video by decoding it from end to end."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import av.error
import numpy as np
from av.container import InputContainer
from av.video import VideoFrame, VideoStream
from av.video.reformatter import VideoReformatter
from jaxtyping import Int64

from gcvideo.data.video._clock import FrameClock, Stamps
from gcvideo.data.video._container import VideoReadError, decode_packets, open_video
from gcvideo.data.video._conversion import convert_frame, settle_matrix
from gcvideo.data.video._deadline import finish_within
from gcvideo.data.video._orientation import AS_STORED
from gcvideo.data.video._timeline import counted_timeline, scan_packets

_SECONDS_A_STEP = 0.5
_MAX_RATE_ERROR = 0.03


@dataclass(frozen=True, slots=True)
class VideoCheck:
    """The finding of a decode from the first packet to the last.

    Args:
        status: ok; damaged: some frames are missing or not as promised; unreadable: there are no frames.
        reason: why the status is not ok; empty if it is.
        num_promised: frames according to the time stamps of the packets; None if these are not enough.
        damaged_packets: number of packets that cannot be decoded.
        corrupt_frames: number of decoded frames that the decoder marks as corrupt.
        fps: average frames per second; 0 if unreadable.
        width, height: pixels of the first frame as displayed; 0 if unreadable.
        sample_aspect_ratio: width of a stored pixel over its height, such as 16:11.
        remarks: unusual properties that do not prevent reading, separated by "; ".
    """

    status: Literal["ok", "damaged", "unreadable"]
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


def check_video(
    path: str,
    *,
    time_budget_seconds: float | None = None,
    progress: Callable[[], None] | None = None,
) -> VideoCheck:
    """Decode a video from end to end, and convert one frame of each kind to RGB.

    A kind is a pixel format, a size and colour tags. Packets that cannot be decoded are left out and
    counted, as by a tolerant :class:`~gcvideo.data.VideoReader`. If the packets alone are enough to list
    the frames, their number and time stamps are compared with those of the decoded frames. A file counts
    as unreadable after ``time_budget_seconds`` without progress; None: no limit. Every half second of
    progress, ``progress`` is called.
    """
    try:
        return finish_within(time_budget_seconds, path, _examine(path), progress)
    except VideoReadError as error:
        return VideoCheck("unreadable", error.reason)


def _examine(path: str) -> Iterator[VideoCheck | None]:
    """Yields None regularly while it decodes, and the finding at the end."""
    timeline = None
    try:
        container, stream = open_video(path)
        with container, suppress(av.error.FFmpegError):  # decoding gives a better reason
            timeline = scan_packets(container, stream)
        yield None
        container, stream = open_video(path)
        with container:
            seen = _Seen(container, stream, timeline.stamps if timeline else None)
            mark = time.monotonic()
            try:
                for frames in decode_packets(container.demux(stream), seen.note):
                    for frame in frames:
                        seen.count(frame)
                    if time.monotonic() > mark + _SECONDS_A_STEP:
                        yield None
                        mark = time.monotonic()
            except av.error.FFmpegError as error:
                seen.note(error)
            yield seen.finding()
    except VideoReadError as error:
        yield VideoCheck("unreadable", error.reason)
    except Exception as error:
        # A training would meet this error too, and one file must not end the check of all.
        yield VideoCheck("unreadable", f"{type(error).__name__}: {error}")


class _Seen:
    """The observations of a decode so far."""

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        promised: Int64[np.ndarray, " n"] | None,
    ) -> None:
        self._stream, self._promised = stream, promised
        self._clock = FrameClock(container, stream)
        self._stamps: list[Stamps] = []
        self._first: VideoFrame | None = None
        self._error: Exception | None = None
        self._num_damaged = self._num_corrupt = self._num_unconverted = 0
        self._has_promised_times = True
        self._reformatter = VideoReformatter()
        self._failures: dict[tuple[object, ...], str] = {}  # by kind; empty if it can be converted
        self._remarks: dict[str, None] = {}  # in the order of the frames

    def note(self, error: Exception) -> None:
        self._num_damaged += 1
        self._error = self._error or error

    def count(self, frame: VideoFrame) -> None:
        self._first = self._first or frame
        self._num_corrupt += frame.is_corrupt
        if self._promised is not None and len(self._stamps) < len(self._promised):
            self._has_promised_times &= frame.pts == self._promised[len(self._stamps)]
        self._stamps.append(self._clock.stamps_of(frame))
        colour = frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries
        kind = frame.format.name, frame.width, frame.height, *colour
        if kind not in self._failures:
            if remark := settle_matrix(frame):
                self._remarks[remark] = None
            self._failures[kind] = ""
            try:
                convert_frame(self._reformatter, frame, frame.width, frame.height, format="rgb24")
            except av.error.FFmpegError as error:
                self._failures[kind] = f"{frame.format.name}: {error.strerror}"
        self._num_unconverted += self._failures[kind] != ""

    def finding(self) -> VideoCheck:
        reason = self._reason()
        if self._first is None or self._num_unconverted == len(self._stamps):
            return VideoCheck("unreadable", reason)
        timeline = counted_timeline(self._stream, self._first, self._clock, self._stamps)
        info = timeline.info
        aspect = f"{info.sample_aspect_ratio.numerator}:{info.sample_aspect_ratio.denominator}"
        remarks = list(self._remarks)
        stated = self._clock.stated
        if not stated:
            remarks.append("no frame rate in its header")
        elif all(abs(float(rate) / info.fps - 1) > _MAX_RATE_ERROR for rate in stated):
            remarks.append(f"a frame rate of {float(stated[0]):.4g} in its header")
        steps = np.diff(timeline.seconds) * info.fps
        if len(steps) and (steps.min() < 0.5 or steps.max() > 1.5):
            remarks.append("variable frame rate")
        if info.orientation != AS_STORED:
            remarks.append(f"shown {info.orientation}")
        if info.sample_aspect_ratio != 1:
            remarks.append(f"pixels of {aspect}")
        return VideoCheck(
            status="damaged" if reason else "ok",
            reason=reason,
            num_frames=len(self._stamps),
            num_promised=None if self._promised is None else len(self._promised),
            damaged_packets=self._num_damaged,
            corrupt_frames=self._num_corrupt,
            fps=info.fps,
            width=info.width,
            height=info.height,
            sample_aspect_ratio=aspect,
            remarks="; ".join(remarks),
        )

    def _reason(self) -> str:
        num_frames, num_failed = len(self._stamps), self._num_unconverted
        cause = f" ({getattr(self._error, 'strerror', self._error)})" if self._error else ""
        if not num_frames:
            return f"no frame can be decoded{cause}"
        if self._error and num_failed < num_frames:
            return f"packets that do not decode: {self._num_damaged}{cause}"
        if self._num_corrupt and num_failed < num_frames:
            return f"frames that the decoder marks as corrupt: {self._num_corrupt}"
        if num_failed:
            failures = ", ".join(dict.fromkeys(filter(None, self._failures.values())))
            return f"frames that cannot be converted to RGB: {num_failed} ({failures})"
        if self._promised is not None and num_frames != len(self._promised):
            return f"it has packets for {len(self._promised)} frames but gives {num_frames}"
        return (
            "" if self._has_promised_times else "its frames have other time stamps than its packets"
        )
