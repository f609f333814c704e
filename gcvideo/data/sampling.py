"""Clip sampling: which frames of a video make up a clip, as each published protocol computes it.

n = ``num_video_frames``, T = ``num_frames``, tau = ``sampling_rate``, K = ``num_clips``, k is a clip
in 0..K-1. All indices are frames of the video as stored, in [0, n). Released weights were trained
and scored with the spacing of their own protocol: no oddity is "fixed" here.
"""

import math
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True)
class ClipSpec:
    """Length and pace of a clip: "8x8" is 8 frames, every 8th frame of the video.

    Args:
        num_frames: T, frames per clip.
        sampling_rate: tau, distance between two sampled frames in frames of the video.

    Raises:
        ValueError: if either is below one.
    """

    num_frames: int
    sampling_rate: int

    def __post_init__(self) -> None:
        for name in ("num_frames", "sampling_rate"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} is {getattr(self, name)} but must be at least 1; "
                    "a usual clip is num_frames=8, sampling_rate=8"
                )


@runtime_checkable
class ClipSampling(Protocol):
    """A published rule for choosing the frames of training and test clips.

    A single test clip is the middle one, also where a published formula for many would give the
    first. Both methods raise ValueError if the video has no frame, ``fps`` is not positive or no
    clip is asked for. Randomness comes from ``rng`` only.
    """

    def train(
        self, num_video_frames: int, fps: float, spec: ClipSpec, rng: np.random.Generator
    ) -> Int64[np.ndarray, "t"]:
        """Frame indices of one random clip."""
        ...

    def test(
        self, num_video_frames: int, fps: float, spec: ClipSpec, num_clips: int
    ) -> Int64[np.ndarray, "k t"]:
        """Frame indices of ``num_clips`` fixed clips."""
        ...


@dataclass(frozen=True)
class SlowFastSampling:
    """PySlowFast: T points evenly over a window of c = max(1, tau T fps / target_fps) frames.

        indices = clamp(linspace(s, s + c - 1, T), 0, n - 1),    d = max(n - c, 0)
        train: s ~ U(0, d);    test: s_k = d k / K, or k floor(d / (K - 1)) with ``offset``

    The spacing is (tau T - 1) / (T - 1), 9 frames for "8x8", and the last test clip stops short of
    the end unless ``offset`` is set. A video shorter than c repeats its last frame.
    Source: PySlowFast, datasets/decoder.py, torchvision path. ``linspace`` is rounded as torch's
    single-precision one, which decides the frame where a point falls on a whole number.

    Args:
        offset: DATA.USE_OFFSET_SAMPLING.
        target_fps: frames per second at which the clip lasts tau T frames.
    """

    offset: bool = False
    target_fps: float = 30.0

    def train(
        self, num_video_frames: int, fps: float, spec: ClipSpec, rng: np.random.Generator
    ) -> Int64[np.ndarray, "t"]:
        _check_video(num_video_frames, fps)
        window = _window_frames(spec, fps, self.target_fps)
        start = rng.uniform(0, max(num_video_frames - window, 0.0))
        return self._indices(start, window, num_video_frames, spec)

    def test(
        self, num_video_frames: int, fps: float, spec: ClipSpec, num_clips: int
    ) -> Int64[np.ndarray, "k t"]:
        _check_video(num_video_frames, fps)
        _check_num_clips(num_clips)
        window = _window_frames(spec, fps, self.target_fps)
        slack = max(num_video_frames - window, 0.0)
        starts = [self._start(k, slack, num_clips) for k in range(num_clips)]
        return np.stack([self._indices(s, window, num_video_frames, spec) for s in starts])

    def _start(self, clip: int, slack: float, num_clips: int) -> float:
        if num_clips == 1:
            return float(math.floor(slack / 2))
        if not self.offset:
            return slack * clip / num_clips
        return float(clip * math.floor(slack / (num_clips - 1)))

    @staticmethod
    def _indices(
        start: float, window: float, num_video_frames: int, spec: ClipSpec
    ) -> Int64[np.ndarray, "t"]:
        points = _torch_linspace(start, start + window - 1, spec.num_frames)
        return points.clip(0, num_video_frames - 1).astype(np.int64)


@dataclass(frozen=True)
class MMActionSampling:
    """mmaction2 ``SampleFrames``: every tau-th frame, test clips spread to the very end.

        indices = s + i tau,    i = 0..T-1
        train: s ~ randint(max(n - tau T + 1, 1))
        test:  s_k = round(k m / (K - 1)),    m = max(n - tau (T - 1) - 1, 0)

    A single test clip starts at floor(m / 2).
    With ``target_fps`` the clip is L = max(1, tau T fps / target_fps) frames long in both phases,
    indices = s + int(linspace(0, L - 1, T)) and s_k = k floor(m / (K - 1)), m = max(n - L, 0).
    Source: mmaction2, datasets/transforms/loading.py, num_clips = 1 in training.

    Args:
        target_fps: frames per second at which the clip lasts tau T frames; None takes the frames
            as they come.
        out_of_bound: what an index past the end of a short video becomes: "loop" starts over
            (index mod n), "repeat_last" repeats the last sampled frame that exists.
    """

    target_fps: float | None = None
    out_of_bound: Literal["loop", "repeat_last"] = "loop"

    def train(
        self, num_video_frames: int, fps: float, spec: ClipSpec, rng: np.random.Generator
    ) -> Int64[np.ndarray, "t"]:
        _check_video(num_video_frames, fps)
        if self.target_fps is None:
            length = float(spec.num_frames * spec.sampling_rate)
        else:
            length = _window_frames(spec, fps, self.target_fps)
        num_starts = max(math.floor(num_video_frames - length + 1), 1)
        start = int(rng.integers(num_starts))
        return self._bounded(start + self._steps(spec, fps), num_video_frames)

    def test(
        self, num_video_frames: int, fps: float, spec: ClipSpec, num_clips: int
    ) -> Int64[np.ndarray, "k t"]:
        _check_video(num_video_frames, fps)
        _check_num_clips(num_clips)
        if self.target_fps is None:
            length = float((spec.num_frames - 1) * spec.sampling_rate + 1)
        else:
            length = _window_frames(spec, fps, self.target_fps)
        slack = max(num_video_frames - length, 0.0)
        steps = self._steps(spec, fps)
        starts = [self._start(k, slack, num_clips) for k in range(num_clips)]
        return np.stack([self._bounded(start + steps, num_video_frames) for start in starts])

    def _start(self, clip: int, slack: float, num_clips: int) -> int:
        if num_clips == 1:
            return int(slack // 2)
        if self.target_fps is None:
            return round(clip * (slack / (num_clips - 1)))
        return clip * math.floor(slack / (num_clips - 1))

    def _steps(self, spec: ClipSpec, fps: float) -> Int64[np.ndarray, "t"]:
        if self.target_fps is None:
            return np.arange(spec.num_frames, dtype=np.int64) * spec.sampling_rate
        last = _window_frames(spec, fps, self.target_fps) - 1
        return np.linspace(0, last, spec.num_frames).astype(np.int64)

    def _bounded(
        self, indices: Int64[np.ndarray, "t"], num_video_frames: int
    ) -> Int64[np.ndarray, "t"]:
        if self.out_of_bound == "loop":
            return indices % num_video_frames
        inside = indices < num_video_frames
        return np.where(inside, indices, indices[inside].max())


@dataclass(frozen=True)
class NonLocalSampling:
    """video-nonlocal-net: every tau-th frame, wrapping round from the end to the start.

        indices = (s + i tau) mod n,    i = 0..T-1
        train: s ~ randint{0..max(n - tau T, 0)};    test: s_k = floor(k n / K)

    Late test clips wrap in every video, not only in short ones. ``fps`` plays no part.
    Source: video-nonlocal-net (Caffe2), customized_video_io.cc.
    """

    def train(
        self, num_video_frames: int, fps: float, spec: ClipSpec, rng: np.random.Generator
    ) -> Int64[np.ndarray, "t"]:
        _check_video(num_video_frames, fps)
        last_start = max(num_video_frames - spec.num_frames * spec.sampling_rate, 0)
        start = int(rng.integers(last_start, endpoint=True))
        return (start + np.arange(spec.num_frames) * spec.sampling_rate) % num_video_frames

    def test(
        self, num_video_frames: int, fps: float, spec: ClipSpec, num_clips: int
    ) -> Int64[np.ndarray, "k t"]:
        _check_video(num_video_frames, fps)
        _check_num_clips(num_clips)
        if num_clips == 1:
            span = (spec.num_frames - 1) * spec.sampling_rate + 1
            starts = np.array([max(num_video_frames - span, 0) // 2])
        else:
            starts = np.arange(num_clips, dtype=np.int64) * num_video_frames // num_clips
        return (
            starts[:, None] + np.arange(spec.num_frames) * spec.sampling_rate
        ) % num_video_frames


@dataclass(frozen=True)
class PyTorchVideoSampling:
    """PyTorchVideo: the frames of a time window, thinned evenly to T.

        window = [s, s + d) seconds,    d = tau T / target_fps,    D = n / fps
        indices = window[linspace(0, len(window) - 1, T)]
        train: s ~ U(0, max(D - d, 0));    test: s_k = k max(D - d, 0) / K, or / (K - 1)

    A video shorter than d is the window as a whole: its frames are stretched over the clip, each
    repeated in place. A window between two frames, for which PyTorchVideo returns no clip, takes
    the next frame.
    Source: PyTorchVideo, data/clip_sampling.py and transforms/functional.py.

    Args:
        inclusive: divide by K - 1 (the main branch), so that the last clip ends with the video;
            the released 0.1.5 divides by K.
        target_fps: frames per second at which the clip lasts tau T frames.
    """

    inclusive: bool = False
    target_fps: float = 30.0

    def train(
        self, num_video_frames: int, fps: float, spec: ClipSpec, rng: np.random.Generator
    ) -> Int64[np.ndarray, "t"]:
        _check_video(num_video_frames, fps)
        window = self._window(fps, spec)
        start = rng.uniform(0, max(num_video_frames - window, 0.0))
        return self._indices(start, window, num_video_frames, spec)

    def test(
        self, num_video_frames: int, fps: float, spec: ClipSpec, num_clips: int
    ) -> Int64[np.ndarray, "k t"]:
        _check_video(num_video_frames, fps)
        _check_num_clips(num_clips)
        window = self._window(fps, spec)
        slack = max(num_video_frames - window, 0.0)
        parts = num_clips - 1 if self.inclusive else num_clips
        starts = [slack / 2] if num_clips == 1 else [slack * k / parts for k in range(num_clips)]
        return np.stack([self._indices(s, window, num_video_frames, spec) for s in starts])

    def _window(self, fps: float, spec: ClipSpec) -> float:
        return spec.num_frames * spec.sampling_rate * fps / self.target_fps

    @staticmethod
    def _indices(
        start: float, window: float, num_video_frames: int, spec: ClipSpec
    ) -> Int64[np.ndarray, "t"]:
        # PyTorchVideo computes in exact fractions: rounding noise must not move a whole number.
        first = min(math.ceil(round(start, 6)), num_video_frames - 1)
        end = min(math.ceil(round(start + window, 6)), num_video_frames)
        last = max(end - 1, first)
        return first + _torch_linspace(0.0, float(last - first), spec.num_frames).astype(np.int64)


def _check_video(num_video_frames: int, fps: float) -> None:
    if num_video_frames < 1:
        reason = f"num_video_frames is {num_video_frames} but a clip needs at least 1 frame"
        raise ValueError(f"{reason}; leave videos without frames out of the list")
    if not fps > 0:
        raise ValueError(f"fps is {fps} but must be positive; pass the video's frames per second")


def _check_num_clips(num_clips: int) -> None:
    if num_clips < 1:
        raise ValueError(f"num_clips is {num_clips} but must be at least 1; the papers use 10")


def _window_frames(spec: ClipSpec, fps: float, target_fps: float) -> float:
    return max(1.0, spec.sampling_rate * spec.num_frames * fps / target_fps)


def _torch_linspace(start: float, end: float, steps: int) -> np.ndarray:
    """``torch.linspace`` in float32, bit for bit: from both ends, each point rounded once."""
    if steps == 1:
        return np.array([start], dtype=np.float32)
    low, high = np.float32(start), np.float32(end)
    step = np.float64((high - low) / np.float32(steps - 1))
    i = np.arange(steps)
    from_low, from_high = low + step * i, high - step * (steps - 1 - i)
    return np.where(i < steps // 2, from_low, from_high).astype(np.float32)
