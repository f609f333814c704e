"""The rule of video-nonlocal-net for clips."""

from dataclasses import dataclass

import numpy as np

from gcvideo.data.loading._sampling import Clip, Clips, ClipSampling, ClipSpec


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
