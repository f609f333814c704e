#!/usr/bin/env bash
# moviepy 2.2.1 with imageio-ffmpeg 0.8.1 (FFmpeg 9): a video that a telephone recorded upright comes turned right, but
# squeezed into the shape in which it is stored: 128 x 192 that is shown as 192 x 128 stays 128 x 192.
#
# Guess before: the picture as players show it, for moviepy turns its size where the file says so.
# Seen: moviepy looks for "displaymatrix: rotation" in the words of "ffmpeg -i", and this ffmpeg writes "Display
# Matrix: rotation". So moviepy finds no rotation, while ffmpeg turns the picture and scales it to the size it is told.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "moviepy==2.2.1" "imageio-ffmpeg==0.8.1" "av==18.1.0" "numpy==2.4.6"
cd "$folder"
cat > run.py <<'P'
import struct
from importlib.metadata import version
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
from moviepy import VideoFileClip

path = Path("telephone.mp4")
with av.open(str(path), "w") as out:
    stream = out.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 128, 192, "yuv420p"
    for _ in range(10):
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((192, 128, 3), 99, np.uint8), format="rgb24")))
    out.mux(stream.encode(None))
data = path.read_bytes()
matrix = data.index(b"tkhd") + 4 + 40
quarter_turn = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
path.write_bytes(data[:matrix] + quarter_turn + data[matrix + 36 :])
clip = VideoFileClip(str(path), audio=False)
height, width = clip.get_frame(0).shape[:2]
ffmpeg = imageio_ffmpeg.get_ffmpeg_version()
print(f"moviepy {version('moviepy')}, ffmpeg {ffmpeg}: rotation {clip.rotation}, frames of {width} x {height}")
assert (clip.rotation, width, height) == (0, 128, 192), "the behaviour has changed"
P
venv/bin/python run.py
