import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Int64

from gcvideo.data.loading._sampling import (
    ClipSpec,
    exact_rate,
    require_clips,
    require_frames,
    torch_linspace,
)


@dataclass(frozen=True)
class PyTorchVideoSampling:
    """PyTorchVideo: the frames of a time window, thinned evenly to T.

        window = [s, s + d) seconds,    d = tau T / target_fps,    D = n / fps
        indices = window[linspace(0, len(window) - 1, T)]
        train: s ~ U(0, max(D - d, 0));    test: s_k = k max(D - d, 0) / K, or / (K - 1)

    A video shorter than d is the window as a whole: its frames are stretched over the clip, each
    repeated in place. A window between two frames, for which PyTorchVideo returns no clip, takes
    the next frame. Times are exact fractions but for d, the nearest double: where that lies above tau
    T / target_fps, as for 50 frames, a window that starts on a frame holds one frame more.
    Source: PyTorchVideo, data/clip_sampling.py, data/encoded_video_pyav.py, transforms/functional.py.

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
        require_frames(num_video_frames, fps)
        start = Fraction(float(rng.uniform(0, float(self._slack(num_video_frames, fps, spec)))))
        return self._indices(start, num_video_frames, fps, spec)

    def test(
        self, num_video_frames: int, fps: float, spec: ClipSpec, num_clips: int
    ) -> Int64[np.ndarray, "k t"]:
        require_frames(num_video_frames, fps)
        require_clips(num_clips)
        starts = self._starts(self._slack(num_video_frames, fps, spec), num_clips)
        return np.stack([self._indices(s, num_video_frames, fps, spec) for s in starts])

    def _starts(self, slack: Fraction, num_clips: int) -> list[Fraction]:
        if num_clips == 1:
            # Not PyTorchVideo's: whole frames are not lost to the last bit of d.
            return [(slack / 2).limit_denominator(1_000_000)]
        parts = num_clips - 1 if self.inclusive else num_clips
        return [slack * k / parts for k in range(num_clips)]

    def _window(self, spec: ClipSpec) -> Fraction:
        return Fraction(spec.num_frames * spec.sampling_rate / self.target_fps)

    def _slack(self, num_video_frames: int, fps: float, spec: ClipSpec) -> Fraction:
        return max(num_video_frames / exact_rate(fps) - self._window(spec), Fraction(0))

    def _indices(
        self, start: Fraction, num_video_frames: int, fps: float, spec: ClipSpec
    ) -> Int64[np.ndarray, "t"]:
        rate = exact_rate(fps)
        first = min(math.ceil(start * rate), num_video_frames - 1)
        end = min(math.ceil((start + self._window(spec)) * rate), num_video_frames)
        last = max(end - 1, first)
        return first + torch_linspace(0.0, float(last - first), spec.num_frames).astype(np.int64)
