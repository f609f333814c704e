#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93: read() of an interlaced video returns True and a picture that was never written to,
# frame after frame. The file is plain: H.264 in mp4, both fields in one frame, as camcorders record.
#
# Guess before: the frames of the file, both fields woven into one picture.
# Seen: FFmpeg's scaler says "Cannot convert interlaced to progressive frames or vice versa" on the standard error, its
# return value is not looked at, and the buffer comes back as it was allocated. The same file without the flag is
# right. A colour matrix that the scaler does not know (tag 10) ends in the same way. 4.13.0.92 does the same here.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check \
  "opencv-python-headless==5.0.0.93" "av==18.1.0" "numpy==2.4.6"
cd "$folder"
cat > make.py <<'P'
import av
import numpy as np

left_to_right = np.repeat(np.linspace(30, 220, 192, dtype=np.uint8)[None, :, None], 128, axis=0).repeat(3, axis=2)
for name, options in (("interlaced", {"flags": "+ildct+ilme", "x264-params": "tff=1"}), ("progressive", {})):
    with av.open(f"{name}.mp4", "w") as out:
        stream = out.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p"
        for _ in range(10):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(left_to_right, format="rgb24")))
        out.mux(stream.encode(None))
np.save("picture.npy", left_to_right)
P
cat > read.py <<'P'
import cv2
import numpy as np

picture = np.load("picture.npy").astype(float)
wrong = {}
for name in ("progressive", "interlaced"):
    video = cv2.VideoCapture(f"{name}.mp4", cv2.CAP_FFMPEG)
    errors = []
    for _ in range(10):
        is_read, frame = video.read()
        assert is_read
        errors.append(np.abs(frame - picture).mean())
    wrong[name] = min(errors) > 30
    print(f"opencv {cv2.__version__}, {name}: least mean error of 10 frames {min(errors):.1f} levels")
assert wrong == {"progressive": False, "interlaced": True}, "the behaviour has changed"
P
venv/bin/python make.py
venv/bin/python read.py 2> errors.txt
grep -o "Cannot convert interlaced to progressive frames" errors.txt | sort -u
