from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from jaxtyping import UInt8


def write_video(
    path: str | Path,
    frames: Iterable[UInt8[np.ndarray, "h w 3"]],
    *,
    fps: float = 30,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> None:
    """Encode RGB frames to a video file; the container follows from the suffix.

    Args:
        path: file to write.
        frames: uint8 RGB images of one size; h264 in 4:2:0 needs an even height and width.
        fps: frames per second.
        codec: an encoder of FFmpeg.
        options: encoder options, such as ``{"crf": "18", "g": "16"}``.

    Raises:
        ValueError: if there is no frame.
    """
    with av.open(str(path), "w") as container:
        stream = None
        for image in frames:
            if stream is None:
                rate = Fraction(fps).limit_denominator(1001)
                added = container.add_stream(codec, rate=rate, options=options or {})
                stream = cast(av.VideoStream, added)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.thread_count = 1
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        if stream is None:
            raise ValueError(f"no frame to write to '{path}'; pass at least one image")
        container.mux(stream.encode(None))
