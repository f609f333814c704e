"""Clip sampling: which frames of a video make up a clip.

n = ``num_video_frames``, T = ``num_frames``, tau = ``sampling_rate``, K = ``num_clips``, k is a clip
in 0..K-1. All indices are frames of the video as stored, in [0, n). Released weights were trained and
scored with the spacing of their own protocol, so no oddity of a published rule is "fixed".
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Int64

# For rates: 30000/1001 is recovered from the nearest double.
_MAX_DENOMINATOR = 1_000_000

Clip = Int64[np.ndarray, "t"]
Clips = Int64[np.ndarray, "k t"]


@dataclass(frozen=True)
class ClipSpec:
    """Length and pace of a clip: "8x8" is 8 frames, every 8th frame of the video.

    Args:
        num_frames: frames per clip, T.
        sampling_rate: frames of the video from one sampled frame to the next, tau.

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

    @property
    def steps(self) -> Clip:
        """Places of the frames, counted from the first: every tau-th one."""
        return np.arange(self.num_frames, dtype=np.int64) * self.sampling_rate


class ClipSampling(ABC):
    """A published rule for choosing the frames of training and test clips.

    A single test clip is the middle one, even if a published formula for many would give the first.
    Both methods raise ValueError if the video has no frame, ``fps`` is not positive or no clip is asked
    for. Randomness comes from ``rng`` only.
    """

    def train(
        self, num_video_frames: int, fps: float, spec: ClipSpec, rng: np.random.Generator
    ) -> Clip:
        """Frame indices of one random clip."""
        _require_frames(num_video_frames, fps)
        return self._train(num_video_frames, fps, spec, rng)

    def test(self, num_video_frames: int, fps: float, spec: ClipSpec, num_clips: int) -> Clips:
        """Frame indices of ``num_clips`` fixed clips."""
        _require_frames(num_video_frames, fps)
        if num_clips < 1:
            raise ValueError(f"num_clips is {num_clips} but must be at least 1; the papers use 10")
        return self._test(num_video_frames, fps, spec, num_clips)

    @abstractmethod
    def _train(self, n: int, fps: float, spec: ClipSpec, rng: np.random.Generator) -> Clip: ...

    @abstractmethod
    def _test(self, n: int, fps: float, spec: ClipSpec, num_clips: int) -> Clips: ...


class WholeVideoSampling(ClipSampling):
    """A rule that spreads a clip over the whole video, where tau plays no part.

    A window of a longer video is tau T frames long.
    """


@dataclass(frozen=True)
class EvenSampling(WholeVideoSampling):
    """T frames at even distances over the whole video, whatever its length and rate.

        indices = floor((i + u) n / T),    i = 0..T-1
        train: u = 1/2, or u ~ U(0, 1) with ``jitter``;    test: u_k = (k + 1/2) / K

    A short video repeats frames in place. ``fps`` and tau play no part.
    Source: ours. mmaction2's ``UniformSample`` draws each frame by itself, so that distances vary.

    Args:
        jitter: whether training clips start at a random place of the first n / T frames.
    """

    jitter: bool = False

    def _train(self, n: int, fps: float, spec: ClipSpec, rng: np.random.Generator) -> Clip:
        return self._clip(n, spec, rng.random() if self.jitter else 0.5)

    def _test(self, n: int, fps: float, spec: ClipSpec, num_clips: int) -> Clips:
        return np.stack([self._clip(n, spec, (k + 0.5) / num_clips) for k in range(num_clips)])

    @staticmethod
    def _clip(n: int, spec: ClipSpec, phase: float) -> Clip:
        return ((np.arange(spec.num_frames) + phase) * n / spec.num_frames).astype(np.int64)


@dataclass(frozen=True)
class NonLocalSampling(ClipSampling):
    """video-nonlocal-net: every tau-th frame, wrapping round from the end to the start.

        indices = (s + i tau) mod n,    i = 0..T-1
        train: s ~ randint{0..max(n - tau T, 0)};    test: s_k = floor(k (n / K))

    Late test clips wrap in every video, not only in short ones. ``fps`` plays no part. n / K and its
    multiples are rounded to single precision, as there.
    Source: video-nonlocal-net (Caffe2), customized_video_io.cc.
    """

    def _train(self, n: int, fps: float, spec: ClipSpec, rng: np.random.Generator) -> Clip:
        last_start = max(n - spec.num_frames * spec.sampling_rate, 0)
        start = int(rng.integers(last_start, endpoint=True))
        return (start + spec.steps) % n

    def _test(self, n: int, fps: float, spec: ClipSpec, num_clips: int) -> Clips:
        if num_clips == 1:
            span = (spec.num_frames - 1) * spec.sampling_rate + 1
            starts = np.array([max(n - span, 0) // 2])
        else:
            gap = np.float32(n) / np.float32(num_clips)
            starts = (np.arange(num_clips, dtype=np.float32) * gap).astype(np.int64)
        return (starts[:, None] + spec.steps) % n


def _require_frames(num_video_frames: int, fps: float) -> None:
    if num_video_frames < 1:
        reason = f"num_video_frames is {num_video_frames} but a clip needs at least 1 frame"
        raise ValueError(f"{reason}; leave videos without frames out of the list")
    if not fps > 0:
        raise ValueError(f"fps is {fps} but must be positive; pass the video's frames per second")


def exact_rate(fps: float) -> Fraction:
    """The rational rate that a number approximates, such as 30000/1001."""
    return Fraction(fps).limit_denominator(_MAX_DENOMINATOR) or Fraction(fps)


def torch_linspace(start: float, end: float, steps: int) -> np.ndarray:
    """``torch.linspace`` in float32, bit for bit: from both ends, each point rounded once.

    This is what torch does on processors with AVX2; without it, torch rounds twice, and would take another
    frame of some clips. Ours takes the same frames on every machine.
    """
    if steps == 1:
        return np.array([start], dtype=np.float32)
    low, high = np.float32(start), np.float32(end)
    step = np.float64((high - low) / np.float32(steps - 1))
    i = np.arange(steps)
    from_low, from_high = low + step * i, high - step * (steps - 1 - i)
    return np.where(i < steps // 2, from_low, from_high).astype(np.float32)
