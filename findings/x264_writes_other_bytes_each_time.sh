#!/usr/bin/env bash
# libx264 as in the wheel of PyAV 18.1.0, on a processor with AVX-512 (AMD EPYC, Zen 4): the same frames, encoded again in the same
# process with one thread and the same options, become another file, whose pixels differ by more than 10 grey levels.
# It depends on the pictures: here 100 x 130, 7 macroblocks a row.
#
# Guess before: one thread, no bit rate to hold: every file is the same.
# Seen: several different files of 20 with the defaults. All are the same without macroblock-tree rate control
# (mbtree=0), which weighs blocks by how much later frames refer to them, and with its AVX2 code (asm=avx2). Whoever
# caches videos under a checksum, or compares copies bit by bit, meets it; ours are written once and then read.
set -euo pipefail
grep -q avx512bw /proc/cpuinfo || { echo "not to be seen here: the processor has no AVX-512"; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "av==18.1.0" "numpy==2.4.6"
cd "$folder"
cat > run.py <<'P'
import io

import av
import numpy as np

y, x = np.mgrid[:130, :100]
FRAMES = [
    np.stack(
        [127 + 100 * np.sin((x + 2 * i) / 9), 127 + 100 * np.cos((y - i) / 7), (x + y + 3 * i) % 256],
        axis=-1,
    ).astype(np.uint8)
    for i in range(40)
]


def encoded(parameters):
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        options = {"x264-params": parameters} if parameters else {}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 100, 130, "yuv420p"
        stream.thread_count = 1
        for image in FRAMES:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def pixels(file):
    with av.open(io.BytesIO(file)) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])


found = {}
for parameters in ("", "mbtree=0", "asm=avx2"):
    files = {encoded(parameters) for _ in range(40)}
    first, *others = [pixels(file).astype(int) for file in files]
    found[parameters] = len(files)
    largest = max((int(abs(first - other).max()) for other in others), default=0)
    name = parameters or "defaults"
    print(f"{name}: {len(files)} different files of 40, pixels differ by up to {largest} levels")
    if not parameters:
        assert largest > 10
assert found[""] > 1
assert found["mbtree=0"] == found["asm=avx2"] == 1
P
"$folder/venv/bin/python" run.py
