#!/usr/bin/env bash
# video-reader-rs 0.4.5, the manylinux wheel: "import video_reader" fails on a Linux without WebP's libraries, although
# the missing one is in the wheel. With LD_LIBRARY_PATH naming the wheel's own folder it loads and reads.
#
# Guess before: it imports, for a repaired wheel brings its libraries and finds them.
# Seen: ImportError: libsharpyuv-...so.0: cannot open shared object file. The module finds its libraries, but two of
# those, which need the third, look for it in a folder of the machine on which they were built.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "video-reader-rs==0.4.5" "av==18.1.0" "numpy==2.4.6"
cd "$folder"
cat > run.py <<'P'
import sys

try:
    import video_reader
except ImportError as error:
    print(f"ImportError: {error}")
    sys.exit(3)
import av
import numpy as np

with av.open("video.mp4", "w") as out:
    stream = out.add_stream("libx264", rate=30)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for i in range(20):
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * i, np.uint8), format="rgb24")))
    out.mux(stream.encode(None))
print("frames read:", len(video_reader.PyVideoReader("video.mp4", threads=1).decode()))
P
libraries=$(echo venv/lib/python3*/site-packages/video_reader_rs.libs)
status=0
venv/bin/python run.py || status=$?
found=$(ls "$libraries" | grep -c sharpyuv)
echo "status without help: $status; libsharpyuv in the wheel: $found"
test "$status" = 3
test "$found" = 1
LD_LIBRARY_PATH="$PWD/$libraries" venv/bin/python run.py
