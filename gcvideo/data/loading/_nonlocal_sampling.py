from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from gcvideo.data.loading._sampling import ClipSpec, require_clips, require_frames


@dataclass(frozen=True)
class NonLocalSampling:
    """video-nonlocal-net: every tau-th frame, wrapping round from the end to the start.

        indices = (s + i tau) mod n,    i = 0..T-1
        train: s ~ randint{0..max(n - tau T, 0)};    test: s_k = floor(k (n / K))

    Late test clips wrap in every video, not only in short ones. ``fps`` plays no part. n / K and its
    multiples are rounded to single precision, as there.
    Source: video-nonlocal-net (Caffe2), customized_video_io.cc.
    """

    def train(
        self, num_video_frames: int, fps: float, spec: ClipSpec, rng: np.random.Generator
    ) -> Int64[np.ndarray, "t"]:
        require_frames(num_video_frames, fps)
        last_start = max(num_video_frames - spec.num_frames * spec.sampling_rate, 0)
        start = int(rng.integers(last_start, endpoint=True))
        return (start + np.arange(spec.num_frames) * spec.sampling_rate) % num_video_frames

    def test(
        self, num_video_frames: int, fps: float, spec: ClipSpec, num_clips: int
    ) -> Int64[np.ndarray, "k t"]:
        require_frames(num_video_frames, fps)
        require_clips(num_clips)
        if num_clips == 1:
            span = (spec.num_frames - 1) * spec.sampling_rate + 1
            starts = np.array([max(num_video_frames - span, 0) // 2])
        else:
            gap = np.float32(num_video_frames) / np.float32(num_clips)
            starts = (np.arange(num_clips, dtype=np.float32) * gap).astype(np.int64)
        steps = np.arange(spec.num_frames) * spec.sampling_rate
        return (starts[:, None] + steps) % num_video_frames
