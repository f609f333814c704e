"""Videos and sound as FFmpeg encodes them, for tests of what reads them."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest


def random_frames(num_frames: int = 30, height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num_frames, height, width, 3), np.uint8)


def raw_options(framerate: int) -> dict[str, str]:
    """What FFmpeg must be told of RGB frames of that size without a container."""
    return {"video_size": "64x48", "pixel_format": "rgb24", "framerate": str(framerate)}


def encode(
    path: Path,
    pictures: Iterable[np.ndarray],
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    *,
    pix_fmt: str = "yuv420p",
    stamps: Iterable[int] | None = None,
) -> Path:
    """A video of 25 frames a second, which may be stamped otherwise; skips the test without an encoder."""
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no encoder {codec}")
    images = list(pictures)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.thread_count = pix_fmt, 1
        for image, stamp in zip(images, stamps or itertools.count(), strict=False):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = stamp
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def encode_sound(path: Path, codec: str = "aac", sample: str = "fltp") -> Path:
    """A short silence without a picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=8000, layout="mono")
        kind = np.float32 if sample == "fltp" else np.int16
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), kind), sample, "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
