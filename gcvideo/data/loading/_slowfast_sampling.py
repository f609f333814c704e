"""The rules of PySlowFast and PyTorchVideo for clips: windows of a video's time, thinned to T frames."""

import math
from dataclasses import dataclass
from fractions import Fraction
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
        return self._indices(float(rng.uniform(0, video.slack)), video, spec)

    def _test(self, n: int, fps: float, spec: ClipSpec, num_clips: int) -> Clips:
        video = self._video(n, fps, spec)
        if num_clips == 1:
            # Not PySlowFast's, and so without its last bit: half a frame must not be lost.
            window = max(1.0, spec.sampling_rate * spec.num_frames * fps / self.target_fps)
            starts = [float(max(n - window, 0.0) // 2)]
        else:
            step = math.floor(video.slack / (num_clips - 1))
            starts = [
                float(k * step) if self.offset else video.slack * k / num_clips
                for k in range(num_clips)
            ]
        return np.stack([self._indices(start, video, spec) for start in starts])

    def _video(self, n: int, fps: float, spec: ClipSpec) -> "_Video":
        rate = exact_rate(fps)
        ticks = rate.denominator
        while ticks * rate < _MIN_TIMESCALE:  # as FFmpeg's movenc.c
            ticks *= 2
        per_second = int(ticks * rate)
        window = spec.sampling_rate * spec.num_frames / self.target_fps
        if self.reader == "pyav":
            window *= fps
            return _Video(n, fps, window, max(n - window, 0.0), True, ticks, per_second)
        single = float(np.float32(fps))
        window = max(1.0, window * single)
        length = single * (n * ticks * (1 / per_second))
        is_cut = self.reader == "torchvision" and length > spec.num_frames * spec.sampling_rate
        slack = max((length if is_cut else n) - window, 0.0)
        return _Video(n, single, window, slack, is_cut, ticks, per_second)

    def _indices(self, start: float, video: "_Video", spec: ClipSpec) -> Clip:
        window = video.window
        first, last = self._span(start, start + window - 1, video) if video.is_cut else (1, 0)
        if first > last:  # all frames are decoded
            points = torch_linspace(start, start + window - 1, spec.num_frames)
            return points.clip(0, video.num_frames - 1).astype(np.int64)
        if self.reader == "pyav":  # which multiplies in another order; this decides the last bit
            window = spec.sampling_rate * spec.num_frames * video.fps / self.target_fps
        points = torch_linspace(0.0, window - 1, spec.num_frames)
        return first + points.clip(0, last - first).astype(np.int64)

    def _span(self, start: float, end: float, video: "_Video") -> tuple[int, int]:
        """First and last frame of a clip that are decoded."""
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
    """What a reader knows of a video, and the window of its clips, in frames.

    ``slack`` is how late the last window can start; if ``is_cut``, only a span is decoded.
    """

    num_frames: int
    fps: float
    window: float
    slack: float
    is_cut: bool
    ticks_per_frame: int  # in an MP4 file that FFmpeg writes at the rate
    ticks_per_second: int


def _microseconds(ticks: int, ticks_per_second: int) -> int:
    """The nearest number of microseconds, as ``av_rescale_q`` rounds."""
    return (2 * ticks * _MICROSECONDS + ticks_per_second) // (2 * ticks_per_second)


@dataclass(frozen=True)
class PyTorchVideoSampling(ClipSampling):
    """PyTorchVideo: the frames of a time window, thinned evenly to T.

        window = [s, s + d) seconds,    d = tau T / target_fps,    D = n / fps
        indices = window[linspace(0, len(window) - 1, T)]
        train: s ~ U(0, max(D - d, 0));    test: s_k = k max(D - d, 0) / K, or / (K - 1)

    A video shorter than d is the window as a whole: its frames are stretched over the clip, each
    repeated in place. A window between two frames, for which PyTorchVideo returns no clip, takes
    the next frame. Times are exact fractions except d, the nearest double: if that is above
    tau T / target_fps, as for 50 frames, a window that starts on a frame has one frame more.
    Source: PyTorchVideo, data/clip_sampling.py, data/encoded_video_pyav.py, transforms/functional.py.

    Args:
        inclusive: whether to divide by K - 1 (the main branch), so that the last clip ends with the
            video; the released 0.1.5 divides by K.
        target_fps: frames per second at which the clip lasts tau T frames.
    """

    inclusive: bool = False
    target_fps: float = 30.0

    def _train(self, n: int, fps: float, spec: ClipSpec, rng: np.random.Generator) -> Clip:
        start = Fraction(float(rng.uniform(0, float(self._slack(n, fps, spec)))))
        return self._indices(start, n, fps, spec)

    def _test(self, n: int, fps: float, spec: ClipSpec, num_clips: int) -> Clips:
        slack = self._slack(n, fps, spec)
        if num_clips == 1:
            # Not PyTorchVideo's: whole frames are not lost to the last bit of d.
            starts = [(slack / 2).limit_denominator(1_000_000)]
        else:
            parts = num_clips - 1 if self.inclusive else num_clips
            starts = [slack * k / parts for k in range(num_clips)]
        return np.stack([self._indices(start, n, fps, spec) for start in starts])

    def _window(self, spec: ClipSpec) -> Fraction:
        return Fraction(spec.num_frames * spec.sampling_rate / self.target_fps)

    def _slack(self, n: int, fps: float, spec: ClipSpec) -> Fraction:
        return max(n / exact_rate(fps) - self._window(spec), Fraction(0))

    def _indices(self, start: Fraction, n: int, fps: float, spec: ClipSpec) -> Clip:
        rate = exact_rate(fps)
        first = min(math.ceil(start * rate), n - 1)
        end = min(math.ceil((start + self._window(spec)) * rate), n)
        last = max(end - 1, first)
        return first + torch_linspace(0.0, float(last - first), spec.num_frames).astype(np.int64)
