"""Classify videos on a CPU by OpenVINO, and say how far its scores are from torch's.

pip install "gcvideo[openvino]" && python openvino_program.py runs/RUN clip.mp4
"""

import argparse
import time

import gcvideo

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("checkpoint", help="a file, run folder, published name or hf://...")
parser.add_argument("videos", nargs="+")
parser.add_argument("--precision", default="float32", help="or bfloat16, float16")
parser.add_argument("--top-k", type=int, default=5)
args = parser.parse_args()

classifier = gcvideo.load(args.checkpoint, device="cpu")
fast = classifier.for_inference(engine="openvino", precision=args.precision)
print(fast)
for video in args.videos:
    started = time.perf_counter()
    scores = fast.scores(video)
    seconds = time.perf_counter() - started
    difference = float((scores - classifier.scores(video)).abs().max())
    print(f"{video}: {seconds:.2f} s, at most {difference:.1e} from torch")
    for prediction in fast.rank(scores, args.top_k):
        print(f"  {prediction.score:.4f} {prediction.name}")
