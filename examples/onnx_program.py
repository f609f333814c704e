"""Score the single view of videos by an exported net, without torch and without the package it is from.

gcvideo export runs/RUN net.onnx && python onnx_program.py net.onnx clip.mp4

Needs onnxruntime, numpy and PyAV. For the protocols slowfast_whole and slowfast_pyav.
"""

import argparse
import json

import av
import numpy as np
import onnxruntime

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("net", help="a file that `gcvideo export` has written")
parser.add_argument("video")
parser.add_argument("--top-k", type=int, default=5)
args = parser.parse_args()

session = onnxruntime.InferenceSession(args.net)
about = json.loads(session.get_modelmeta().custom_metadata_map["gcvideo"])
protocol, (length, size) = about["protocol"], session.get_inputs()[0].shape[2:4]
if "target_fps" not in protocol["sampling"]:
    raise SystemExit(f"the protocol {protocol['name']} samples otherwise than this program")

with av.open(args.video) as container:
    frames = list(container.decode(video=0))
fps = (len(frames) - 1) / (frames[-1].time - frames[0].time)  # headers may say anything
window = length * protocol["sampling_rate"] * fps / protocol["sampling"]["target_fps"]
start = max(len(frames) - window, 0) // 2
indices = np.linspace(start, start + window - 1, length).clip(0, len(frames) - 1).astype(int)

sides = frames[0].width, frames[0].height
width, height = (side * protocol["short_side"] // min(sides) for side in sides)
clip = np.stack([frames[i].to_ndarray(width=width, height=height, format="rgb24") for i in indices])
y, x = -((size - height) // 2), -((size - width) // 2)  # the centre, rounded up
clip = clip[:, y : y + size, x : x + size].transpose(3, 0, 1, 2)  # (3, t, h, w)

scores = session.run(["scores"], {"clips": np.ascontiguousarray(clip)[None]})[0][0]
for label in scores.argsort()[::-1][: args.top_k]:
    print(f"{scores[label]:.4f} {about['classes'][label]}")
