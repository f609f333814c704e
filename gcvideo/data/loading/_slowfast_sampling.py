"""The rules of PySlowFast for clips."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from gcvideo.data.loading._sampling import (
    Clip,
    Clips,
    ClipSampling,
    ClipSpec,
    exact_rate,
    torch_linspace,
)

Reader = Literal["whole", "pyav", "torchvision"]

_MIN_TIMESCALE = 10_000  # of FFmpeg's MP4 files, in ticks a second
_MICROSECONDS = 1_000_000
_END_MARGIN_US = 100  # torchvision's, against the rounding of time stamps


@dataclass(frozen=True)
class SlowFastSampling(ClipSampling):
    """PySlowFast: T points evenly over a window of c = max(1, tau T fps / target_fps) frames.

        indices = clamp(linspace(s, s + c - 1, T), 0, n - 1),    d = max(n - c, 0)
        train: s ~ U(0, d);    test: s_k = d k / K, or k floor(d / (K - 1)) with ``offset``

    The spacing is (tau T - 1) / (T - 1), 9 frames for "8x8", and the last test clip stops short of
    the end unless ``offset`` is set. A video shorter than c repeats its last frame.

    These are the points in a video that is decoded as a whole. If the file says how long it is,
    PySlowFast only decodes what lies between two time stamps, at p ticks per frame, and takes the points
    in the result:

        first = ceil(floor(s p) / p),    last = floor(floor((s + c - 1) p) / p)
        indices = first + clamp(linspace(0, c - 1, T), 0, last - first)

    so that a clip starts with the frame after s instead of the one before. ``pyav`` keeps one more
    frame, with which its loop ends, and has no least c; ``torchvision`` counts frames within 100 us of the
    end, and reads videos of at most tau T frames, and clips without a frame, as a whole. p is that of an
    MP4 file written by FFmpeg at the rate, 512 at 24, 25 and 30 frames a second. The rate is in single
    precision, as in torchvision, except with ``pyav``.

    Source: PySlowFast, datasets/decoder.py: ``pyav_decode`` at 31d2ea7, ``torchvision_decode`` and
    ``decode`` at 287ec00, with torchvision's csrc/io. ``linspace`` is rounded as torch's
    single-precision one, which decides the frame where a point falls on a whole number.

    Args:
        offset: whether DATA.USE_OFFSET_SAMPLING is set.
        target_fps: frames per second at which the clip lasts tau T frames.
        reader: DATA.DECODING_BACKEND, "pyav" or "torchvision", for files that say how long they are; or
            "whole".

    Raises:
        ValueError: for another reader.
    """

    offset: bool = False
    target_fps: float = 30.0
    reader: Reader = "whole"

    def __post_init__(self) -> None:
        if self.reader not in get_args(Reader):
            raise ValueError(f"reader is {self.reader!r}; choose {', '.join(get_args(Reader))}")

    def _train(self, n: int, fps: float, spec: ClipSpec, rng: np.random.Generator) -> Clip:
        video = self._video(n, fps, spec)
        start = float(rng.uniform(0, self._slack(video, spec)))
        return self._indices(start, video, spec)

    def _test(self, n: int, fps: float, spec: ClipSpec, num_clips: int) -> Clips:
        video = self._video(n, fps, spec)
        if num_clips == 1:
            # Not PySlowFast's, and so without its last bit: half a frame must not be lost.
            window = max(1.0, spec.sampling_rate * spec.num_frames * fps / self.target_fps)
            starts = [float(max(n - window, 0.0) // 2)]
        else:
            slack = self._slack(video, spec)
            step = math.floor(slack / (num_clips - 1))
            starts = [
                float(k * step) if self.offset else slack * k / num_clips for k in range(num_clips)
            ]
        return np.stack([self._indices(start, video, spec) for start in starts])

    def _video(self, n: int, fps: float, spec: ClipSpec) -> "_Video":
        clock = _mp4_clock(fps)
        if self.reader == "pyav":
            return _Video(n, fps, n, True, *clock)
        rate, seconds = float(np.float32(fps)), n * clock[0] * (1 / clock[1])
        is_cut = (
            self.reader == "torchvision" and rate * seconds > spec.num_frames * spec.sampling_rate
        )
        length = rate * seconds if is_cut else n
        return _Video(n, rate, length, is_cut, *clock)

    def _window(self, video: "_Video", spec: ClipSpec) -> float:
        frames = spec.sampling_rate * spec.num_frames / self.target_fps * video.fps
        return frames if self.reader == "pyav" else max(1.0, frames)

    def _slack(self, video: "_Video", spec: ClipSpec) -> float:
        return max(video.length - self._window(video, spec), 0.0)

    def _indices(self, start: float, video: "_Video", spec: ClipSpec) -> Clip:
        window = self._window(video, spec)
        first, last = self._span(start, start + window - 1, video)
        if first > last:
            points = torch_linspace(start, start + window - 1, spec.num_frames)
            return points.clip(0, video.num_frames - 1).astype(np.int64)
        if self.reader == "pyav":  # which multiplies in another order; this decides the last bit
            window = spec.sampling_rate * spec.num_frames * video.fps / self.target_fps
        points = torch_linspace(0.0, window - 1, spec.num_frames)
        return first + points.clip(0, last - first).astype(np.int64)

    def _span(self, start: float, end: float, video: "_Video") -> tuple[int, int]:
        """First and last frame of a clip that are decoded; (1, 0) if all are."""
        if not video.is_cut:
            return 1, 0
        ticks, per_second = video.ticks_per_frame, video.ticks_per_second
        per_frame = ticks if self.reader == "pyav" else per_second / video.fps
        start_tick, end_tick = int(start * per_frame), int(end * per_frame)
        first, last = -(-start_tick // ticks), end_tick // ticks
        if self.reader == "pyav":
            last = max(last + 1, first)
        elif end_tick <= 0:  # torchvision then reads on to the end
            last = video.num_frames
        else:
            limit = _microseconds(end_tick, per_second) + _END_MARGIN_US
            last += _microseconds((last + 1) * ticks, per_second) <= limit
        return first, min(last, video.num_frames - 1)


class _Video(NamedTuple):
    """What a reader knows of a video: length in frames, and whether it only decodes a span of it."""

    num_frames: int
    fps: float
    length: float
    is_cut: bool
    ticks_per_frame: int
    ticks_per_second: int


def _mp4_clock(fps: float) -> tuple[int, int]:
    """Ticks per frame and per second in an MP4 file that FFmpeg writes at a rate (movenc.c)."""
    rate = exact_rate(fps)
    ticks = rate.denominator
    while ticks * rate < _MIN_TIMESCALE:
        ticks *= 2
    return ticks, int(ticks * rate)


def _microseconds(ticks: int, ticks_per_second: int) -> int:
    """The nearest number of microseconds, as ``av_rescale_q`` rounds."""
    return (2 * ticks * _MICROSECONDS + ticks_per_second) // (2 * ticks_per_second)
