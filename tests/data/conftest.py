import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from encoded_video import encode


def index_picture(index: int, width: int = 64, height: int = 48) -> np.ndarray:
    """The frame's number as eight black or white stripes, which survive any codec."""
    bits = (index >> np.arange(8)) & 1
    row = np.repeat(bits, width // 8) * 255
    return np.broadcast_to(row[None, :, None], (height, width, 3)).astype(np.uint8)


VIDEOS = {
    "h264.mp4": ("libx264", {"g": "12", "bf": "3", "crf": "20"}),
    "h264_open_gop.mkv": ("libx264", {"g": "12", "bf": "3", "x264-params": "open-gop=1"}),
    "h264_refresh.mp4": ("libx264", {"x264-params": "intra-refresh=1:keyint=20:bframes=0"}),
    "h264_tagged.mp4": ("libx264", {"g": "12", "x264-params": "colormatrix=YCgCo"}),
    "h264_variable.mkv": ("libx264", {"g": "12", "bf": "3"}),
    "hevc.mp4": ("libx265", {"x265-params": "keyint=12:bframes=4:log-level=none:pools=1"}),
    "mpeg4_bframes.avi": ("mpeg4", {"g": "12", "bf": "2", "qscale": "3"}),
    "mpeg4.mp4": ("mpeg4", {"g": "12", "bf": "2"}),
    "vp8.webm": ("libvpx", {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "16"}),
    "vp9.webm": ("libvpx-vp9", {"g": "12", "cpu-used": "8", "deadline": "realtime"}),
}


@pytest.fixture(scope="session")
def make_video(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Encodes each of ``VIDEOS`` once, 60 frames that show their own index."""
    folder = tmp_path_factory.mktemp("videos")

    def make(name: str) -> Path:
        codec, options = VIDEOS[name]
        if (folder / name).exists():
            return folder / name
        stamps = [i + (i**2 // 40 if "variable" in name else 0) for i in range(60)]
        return encode(folder / name, map(index_picture, range(60)), codec, options, stamps=stamps)

    return make


@pytest.fixture
def pipe(tmp_path):
    """A named pipe, and how to have bytes written to it while it is read."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    threads = []

    def write(content):
        threads.append(threading.Thread(target=path.write_bytes, args=[content]))
        threads[-1].start()
        return str(path)

    yield write
    for thread in threads:
        thread.join()
