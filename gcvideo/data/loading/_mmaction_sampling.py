"""mmaction2's rules for clips, from datasets/transforms/loading.py and pose_transforms.py at 4d6c934."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gcvideo.data.loading._sampling import Clip, Clips, ClipSampling, ClipSpec, WholeVideoSampling


@dataclass(frozen=True)
class MMActionSampling(ClipSampling):
    """mmaction2 ``SampleFrames``: every tau-th frame, test clips spread to the very end.

        indices = s + i tau,    i = 0..T-1
        train: s ~ randint(max(n - tau T + 1, 1))
        test:  s_k = round(k m / (K - 1)),    m = max(n - tau (T - 1) - 1, 0)

    A single test clip starts at floor(m / 2). Clips of one frame take the middles of K equal parts of
    the video instead: s_k = floor(k n / K + n / (2 K)).
    With ``target_fps`` the clip is L = max(1, tau T fps / target_fps) frames long in both phases,
    indices = s + int(linspace(0, L - 1, T)) and s_k = k floor(m / (K - 1)), m = max(n - L, 0).
    Source: mmaction2, datasets/transforms/loading.py, num_clips = 1 in training.

    Args:
        target_fps: frames per second at which the clip lasts tau T frames; None: frames are taken as
            they come.
        out_of_bound: rule for an index past the end of a short video: "loop" starts over (index mod n),
            "repeat_last" repeats the last sampled frame that exists.
    """

    target_fps: float | None = None
    out_of_bound: Literal["loop", "repeat_last"] = "loop"

    def _train(self, n: int, fps: float, spec: ClipSpec, rng: np.random.Generator) -> Clip:
        length, steps = self._window(spec, fps, spec.num_frames * spec.sampling_rate)
        start = int(rng.integers(max(math.floor(n - length + 1), 1)))
        return self._bounded(start + steps, n)

    def _test(self, n: int, fps: float, spec: ClipSpec, num_clips: int) -> Clips:
        if spec.num_frames == 1:
            part = n / num_clips
            starts = [int(k * part + part / 2) for k in range(num_clips)]
            return np.array(starts, dtype=np.int64)[:, None]
        length, steps = self._window(spec, fps, (spec.num_frames - 1) * spec.sampling_rate + 1)
        slack = max(n - length, 0.0)
        if num_clips == 1:
            starts = [int(slack // 2)]
        elif self.target_fps is None:
            starts = [round(k * (slack / (num_clips - 1))) for k in range(num_clips)]
        else:
            starts = [k * math.floor(slack / (num_clips - 1)) for k in range(num_clips)]
        return np.stack([self._bounded(start + steps, n) for start in starts])

    def _window(self, spec: ClipSpec, fps: float, span: int) -> tuple[float, Clip]:
        """Length of a clip, which is ``span`` without a rate, and the places of its frames."""
        if self.target_fps is None:
            return float(span), spec.steps
        length = max(1.0, spec.num_frames * spec.sampling_rate * (fps / self.target_fps))
        return length, np.linspace(0, length - 1, spec.num_frames).astype(np.int64)

    def _bounded(self, indices: Clip, n: int) -> Clip:
        if self.out_of_bound == "loop":
            return indices % n
        inside = indices < n
        return np.where(inside, indices, indices[inside].max())


@dataclass(frozen=True)
class MMActionDenseSampling(ClipSampling):
    """mmaction2 ``DenseSampleFrames``: every tau-th frame, starts spread to R frames before the end.

        indices = (s + i tau) mod n,    i = 0..T-1,    m = max(n - R, 0)
        train: s ~ randint(max(m, 1));    test: s_k = floor(k m / (K - 1))

    A clip longer than R frames starts over at the end of the video. A single test clip is that of
    ``SampleFrames``; mmaction2 uses the first. ``fps`` plays no part.
    Source: mmaction2, datasets/transforms/loading.py, with ``num_sample_positions`` = K and
    ``num_clips`` = 1.

    Args:
        sample_range: R, frames that the last start leaves.

    Raises:
        ValueError: if ``sample_range`` is below one.
    """

    sample_range: int = 64

    def __post_init__(self) -> None:
        if self.sample_range < 1:
            raise ValueError(
                f"sample_range is {self.sample_range} but must be at least 1 frame; mmaction2 has 64"
            )

    def _train(self, n: int, fps: float, spec: ClipSpec, rng: np.random.Generator) -> Clip:
        start = int(rng.integers(max(n - self.sample_range, 1)))
        return (start + spec.steps) % n

    def _test(self, n: int, fps: float, spec: ClipSpec, num_clips: int) -> Clips:
        if num_clips == 1:
            return MMActionSampling().test(n, fps, spec, 1)
        slack = max(n - self.sample_range, 0)
        starts = np.linspace(0, slack, num_clips, dtype=np.int64)
        return (starts[:, None] + spec.steps) % n


@dataclass(frozen=True)
class MMActionUniformSampling(WholeVideoSampling):
    """mmaction2 ``UniformSample``: one frame from each of T equal parts of the whole video.

        b_i = round(i g),    g = (n - 1) / T,    i = 0..T-1
        train: i-th frame ~ randint{b_i..b_(i+1)};    test: b_i + floor((k + 1) g / (K + 1))

    A short video repeats frames in place. ``fps`` and tau play no part.
    Source: mmaction2, datasets/transforms/loading.py.
    """

    def _train(self, n: int, fps: float, spec: ClipSpec, rng: np.random.Generator) -> Clip:
        bounds = self._bounds(n, spec)
        return rng.integers(bounds[:-1], bounds[1:], endpoint=True)

    def _test(self, n: int, fps: float, spec: ClipSpec, num_clips: int) -> Clips:
        step = (n - 1) / spec.num_frames / (num_clips + 1)
        shifts = (step * np.arange(1, num_clips + 1)).astype(np.int64)
        return self._bounds(n, spec)[:-1] + shifts[:, None]

    @staticmethod
    def _bounds(n: int, spec: ClipSpec) -> Clip:
        part = (n - 1) / spec.num_frames
        return np.round(part * np.arange(spec.num_frames + 1)).astype(np.int64)


@dataclass(frozen=True)
class MMActionSegmentSampling(WholeVideoSampling):
    """mmaction2 ``UniformSampleFrames``: one random frame from each of T parts, in the test as well.

        n >= 2 T:      i-th frame ~ randint{floor(i n / T)..floor((i + 1) n / T) - 1},    i = 0..T-1
        T <= n < 2 T:  0..T-1, after n - T random places of T + 1 one frame further each
        n < T:         (s + i) mod n;    train: s ~ randint(n);    test: s_k = floor(k n / K), k if n < K

    The random numbers of a test are those of numpy's ``RandomState(seed)``, restarted for each video.
    ``fps`` and tau play no part.
    Source: mmaction2, datasets/transforms/pose_transforms.py.
    """

    seed: int = 255

    def _train(self, n: int, fps: float, spec: ClipSpec, rng: np.random.Generator) -> Clip:
        start = int(rng.integers(n)) if n < spec.num_frames else 0
        return self._clip(n, spec, start, rng.choice, rng.integers)

    def _test(self, n: int, fps: float, spec: ClipSpec, num_clips: int) -> Clips:
        random = np.random.RandomState(self.seed)
        starts = [k if n < num_clips else k * n // num_clips for k in range(num_clips)]
        clips = [self._clip(n, spec, start, random.choice, random.randint) for start in starts]
        return np.stack(clips)

    @staticmethod
    def _clip(
        n: int,
        spec: ClipSpec,
        start: int,
        choice: Callable[..., np.ndarray],
        randint: Callable[[np.ndarray], np.ndarray],
    ) -> Clip:
        num_frames = spec.num_frames
        steps = np.arange(num_frames, dtype=np.int64)
        if n < num_frames:
            return (start + steps) % n
        if n < 2 * num_frames:
            places = np.zeros(num_frames + 1, dtype=np.int64)
            places[choice(num_frames + 1, n - num_frames, replace=False)] = 1
            return steps + np.cumsum(places)[:-1]
        bounds = np.arange(num_frames + 1, dtype=np.int64) * n // num_frames
        return bounds[:-1] + randint(np.diff(bounds))
