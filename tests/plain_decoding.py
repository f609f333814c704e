"""A plain PyAV decode from start to end, written without the reader."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

# PyAV 19 takes tags in other encodings than UTF-8 unasked.
TOLERANT = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def decoded_frames(path: Path) -> Iterator[np.ndarray]:
    """Every frame as upright RGB, all of the size of the first."""
    with av.open(str(path), **TOLERANT) as container:
        stream = container.streams.best("video")
        reformatter = av.video.reformatter.VideoReformatter()
        size = None
        for packet in container.demux(stream):
            if packet.size == 0 and packet.dts is not None:
                continue
            for frame in packet.decode():
                size = size or (frame.width, frame.height)
                rgb = reformatter.reformat(frame, *size, format="rgb24", threads=1)
                yield np.rot90(rgb.to_ndarray(), frame.rotation // 90).copy()
