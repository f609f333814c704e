#!/usr/bin/env bash
# imageio 2.38.1 with its pyav plugin (PyAV 18.1.0): in a fragmented mp4, read(index=30) gives frame 28, and
# read(index=59) frame 57. Reading one frame after the other gives all 60 in order, and in a plain mp4 of the same
# packets every index is right.
#
# Guess before: right, or an error, for a fragmented file has no index that could be wrong.
# Seen: B-frames shift the time stamps of such a file by two frames, since it has no edit list that takes the shift
# back; the plugin computes the time of a frame from its index and the rate alone, as if the first frame were at 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "imageio==2.38.1" "av==18.1.0" "numpy==2.4.6"
cd "$folder"
cat > run.py <<'P'
from importlib.metadata import version

import av
import imageio.v3 as iio
import numpy as np


def write(path, flags):
    """60 frames; the grey level of frame i is 8 + 4 i."""
    with av.open(path, "w", options={"movflags": flags} if flags else {}) as out:
        stream = out.add_stream("libx264", rate=30, options={"bf": "2", "g": "20", "crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(60):
            picture = np.full((48, 64, 3), 8 + 4 * i, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))


def number(picture):
    return round((float(picture.mean()) - 8) / 4)


for path, flags in (("plain.mp4", ""), ("fragmented.mp4", "frag_keyframe+empty_moov")):
    write(path, flags)
    with iio.imopen(path, "r", plugin="pyav") as file:
        row = [number(picture) for picture in file.iter()]
    asked = {}
    for index in (0, 30, 59):
        with iio.imopen(path, "r", plugin="pyav") as file:
            asked[index] = number(file.read(index=index))
    print(f"imageio {version('imageio')}, av {av.__version__}, {path}: in order {row == list(range(60))}, by index {asked}")
    expected = {0: 0, 30: 30, 59: 59} if path == "plain.mp4" else {0: 0, 30: 28, 59: 57}
    assert row == list(range(60)) and asked == expected, "the behaviour has changed"
P
venv/bin/python run.py
