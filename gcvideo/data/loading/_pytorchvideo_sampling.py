"""The rules of PyTorchVideo for clips."""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from gcvideo.data.loading._sampling import (
    Clip,
    Clips,
    ClipSampling,
    ClipSpec,
    exact_rate,
    torch_linspace,
)


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
