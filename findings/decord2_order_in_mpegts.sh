#!/usr/bin/env bash
# decord2 3.4.0: of an MPEG-TS file with B-frames, 59 of 60 frames are wrong, by index and in a row, without an error (a
# warning speaks of corrupted frames, of which the file has none):
# frame 0 is the 20th picture, although the number of frames is right.
#
# Guess before: the frames in the order in which they are shown, or those behind the first keyframe that a seek finds.
# Seen: len() says 60, and nearly every frame that it hands out is another. The same packets in an mp4 are all right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "decord2==3.4.0" "av==18.1.0" "numpy==2.4.6"
cd "$folder"
cat > run.py <<'P'
from importlib.metadata import version

import av
import decord
import numpy as np


def write(path, form):
    """60 frames; the grey level of frame i is 8 + 4 i."""
    with av.open(path, "w", format=form) as out:
        stream = out.add_stream("libx264", rate=30, options={"bf": "2", "g": "20", "crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(60):
            picture = np.full((48, 64, 3), 8 + 4 * i, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))


def number(picture):
    return round((float(picture.mean()) - 8) / 4)


for form in ("mp4", "mpegts"):
    path = f"video.{form}"
    write(path, form)
    with av.open(path) as container:
        shown = [number(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert shown == list(range(60)), shown
    reader = decord.VideoReader(path, num_threads=1)
    row = [number(reader.next().asnumpy()) for _ in range(len(reader))]
    wrong = sum(i != seen for i, seen in enumerate(row))
    first = number(decord.VideoReader(path, num_threads=1)[0].asnumpy())
    print(f"decord2 {version('decord2')}, {form}: {len(row)} frames, {wrong} of them wrong in a row; frame 0 is {first}")
    assert (len(row), wrong, first) == ((60, 0, 0) if form == "mp4" else (60, 59, 20)), "the behaviour has changed"
P
venv/bin/python run.py
