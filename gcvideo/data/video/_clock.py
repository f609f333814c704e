"""The times of frames: from their time stamps, or from other sources if these are missing."""

import math
from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from av.container import InputContainer
from av.format import Flags
from av.video import VideoFrame, VideoStream
from jaxtyping import Int64

_DEFAULT_RATE = Fraction(25)  # FFmpeg's own assumption for streams that state no rate
# A header with 1000 frames per second states its clock of milliseconds, not a rate.
_CLOCK_RATE = 1000
_MILLISECOND = Fraction(1, 1000)
_NUM_STEPS = 8  # over which the step is averaged
# Stamps in the wrong order go back by less; a clock that restarts goes back by more.
_RESTART_STEPS = 4

Stamps = tuple[int | None, int | None]  # of presentation and of decoding


def exact(number: Any) -> Fraction:
    """A Fraction, which PyAV 18 gives; PyAV 19 has its own type."""
    return Fraction(number.numerator, number.denominator)


def stated_rates(stream: VideoStream) -> tuple[Fraction, ...]:
    """Plausible rates in frames per second: of the packets, of the codec, and FFmpeg's guess."""
    rates = (stream.average_rate, stream.codec_context.framerate, stream.guessed_rate)
    known = (exact(rate) for rate in rates if rate)  # unset: None, from PyAV 19 on 0/1
    return tuple(rate for rate in known if 0 < rate < _CLOCK_RATE)


def frame_rate(
    stamps: Int64[np.ndarray, " n"], time_base: Fraction, stated: Sequence[Fraction]
) -> float:
    """Mean frames per second of n frames.

        (n - 1) / (last stamp - first stamp)

    If a stated rate or a whole number differs from this by no more than the rounding of the stamps, it is
    used instead. A single frame has the first stated rate, or 25. Stamps ascend, in units of ``time_base``
    seconds.
    """
    num_steps = len(stamps) - 1
    if num_steps < 1:
        return float((*stated, _DEFAULT_RATE)[0])
    span = int(stamps[-1] - stamps[0]) * time_base
    rate = num_steps / span
    rounding = min(time_base, 10 * _MILLISECOND)
    for candidate in stated:
        # Stamps may come from a coarser clock than that of the container.
        if abs(num_steps / candidate - span) <= max(rounding, _MILLISECOND):
            return float(candidate)
    whole = Fraction(max(round(rate), 1))
    return float(whole if abs(num_steps / whole - span) <= rounding else rate)


class FrameClock:
    """Gives the frames of a stream times that strictly ascend.

        t_i = the frame's own stamp, if it is later than t_{i-1};  else t_{i-1} + recent mean step

    A frame's own stamp is that of presentation. It is that of decoding if presentation stamps are missing
    or less often in order, as in FFmpeg, and in AVI, where the number of chunks (including empty ones)
    gives the time of a frame. Elementary streams have no stamps, only the rate in their headers, and in
    MPEG-1 and 2 repeated fields. A stamp more than four steps back restarts the clock, one step after the
    last frame.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._format = container.format.name
        self._is_stamped = container.format.flags & Flags.no_timestamps.value == 0
        stated = stated_rates(stream)
        # For elementary streams, FFmpeg's average over packets is always 25.
        self.stated = stated if self._is_stamped else stated[-1:]
        self.rate = (*self.stated, _DEFAULT_RATE)[0]
        self._has_units = self._is_stamped or self._format == "mpegvideo"
        self.time_base = exact((self._has_units and stream.time_base) or 1 / self.rate)
        self.origin = 0
        self._shift: int | None = None
        self._num_frames = self._ticks = self._fields = 0
        self._position = 0.0  # before it is rounded to ticks
        self._known: deque[tuple[int, int]] = deque(maxlen=_NUM_STEPS + 1)
        self._last: list[int | None] = [None, None]
        self._num_faulty = [0, 0]
        self._has_dts = False

    @property
    def step(self) -> float:
        """Mean ticks between recent frames; before the second frame, from the stated rate."""
        if len(self._known) > 1:
            (start, first), (end, last) = self._known[0], self._known[-1]
            return (last - first) / (end - start)
        return max(float(1 / (self.rate * self.time_base)), 1.0)

    def duration_of(self, frame: VideoFrame) -> int:
        """Ticks for which a frame is shown according to its packet, or else one step."""
        told = (frame.duration or 0) if self._is_stamped else 0
        # Without a rate, FFmpeg gives the length of a tick.
        return told if told * self.time_base > _MILLISECOND else round(self.step)

    def stamps_of(self, frame: VideoFrame) -> Stamps:
        """The stamps of the next frame, for :meth:`place`."""
        if self._is_stamped:
            return (None if self._format == "avi" else frame.pts), frame.dts
        if not self._has_units:
            return None, None
        stamp = self._fields
        self._fields += frame.duration or 0
        return stamp, None

    def place_all(self, frames: Sequence[Stamps]) -> Int64[np.ndarray, " n"]:
        """The times of all frames of a file: as :meth:`place`, but the kind of stamp is chosen first."""
        for stamps in frames:
            self._judge(stamps)
        self._last = [None, None]
        return np.array([self.place(stamps) for stamps in frames], dtype=np.int64)

    def place(self, stamps: Stamps) -> int:
        """The time of the next frame in ticks since the first; called once for each frame, in order."""
        self._judge(stamps)
        own = self._own(stamps)
        if self._num_frames:
            # If the position is ahead of the stamps, these catch up.
            after = self._position + (self.step if own is None else self.step / 2)
            self._position = after if own is None or own <= self._ticks else float(own)
            self._ticks = max(math.floor(self._position + 0.5), self._ticks + 1)
        self._num_frames += 1
        return self._ticks

    def _judge(self, stamps: Stamps) -> None:
        self._has_dts |= stamps[1] is not None
        for kind, stamp in enumerate(stamps):
            last = self._last[kind]
            self._num_faulty[kind] += stamp is not None and last is not None and stamp <= last
            self._last[kind] = last if stamp is None else stamp

    def _own(self, stamps: Stamps) -> int | None:
        pts, dts = stamps
        is_worse = self._has_dts and self._num_faulty[0] > self._num_faulty[1]
        stamp = dts if pts is None or is_worse else pts
        if stamp is None:
            return None
        next_tick = math.floor(self._position + self.step + 0.5) if self._num_frames else 0
        if self._shift is None:
            self._shift = next_tick - stamp
            self.origin = -self._shift
        elif self._known[-1][1] - stamp - self._shift > _RESTART_STEPS * self.step:
            self._shift = next_tick - stamp
        own = stamp + self._shift
        if not self._known or own > self._known[-1][1]:
            self._known.append((self._num_frames, own))
        return own
