"""Videos that are classified by a full-width net in each engine and type, against a plain loop.

python benchmarks/throughput.py FOLDER --json throughput.json
python benchmarks/throughput.py FOLDER --model "slow" --forms torch,bfloat16 openvino,int8

The plain loop reads one video after the other and gives its view to pytorchvideo's net as it is made, in
float32 and, where the processor computes in it, under autocast in bfloat16. Times are wall times on all
cores, after the scores were found equal. The memory is the highest RSS beyond that with the net made ready,
of a process of its own for each form (Linux); processes that read are not part of it.
"""

import argparse
import sys
import time
from argparse import RawTextHelpFormatter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from alternation import measure, require_close
from classification import find_videos, stack
from comparison import Comparison, report
from speed_model import build_drawn_net, compose_clip_net, make_model
from torch import Tensor

from gcvideo.command._assembly import build
from gcvideo.command._device import best_precision
from gcvideo.command.configuration._composition import initialized
from gcvideo.command.train._peak_memory import watched_memory
from gcvideo.data import EvaluationProtocol, read_views
from gcvideo.evaluation import average_views
from gcvideo.inference import GraphError, TrainedClassifier, classify_videos
from gcvideo.models import keep_freed_memory

FORMS = ("torch,float32", "torch,bfloat16", "openvino,bfloat16", "openvino,int8")
LOOPS = ("plain loop, float32", "plain loop, bfloat16")
# |scores - exact| / |exact - mean|, between videos that differ little under drawn weights.
_TOLERANCES = {"float32": 1e-3, "bfloat16": 0.3, "int8": 0.5}
_NUM_CALIBRATING = 16


def classifiers(words: str) -> tuple[TrainedClassifier, TrainedClassifier]:
    """Ours and pytorchvideo's of the same drawn weights, 8 frames of 256 x 256."""
    torch.manual_seed(0)
    with initialized():
        cfg = compose_clip_net(words, 8, 224)
    protocol: EvaluationProtocol = build(cfg.protocol)
    net, device = build_drawn_net(cfg), torch.device("cpu")
    made = [
        make_model(net, cfg, layout, device, torch.float32) for layout in ("auto", "contiguous")
    ]
    classes = [str(label) for label in range(400)]
    ours, plain = (
        TrainedClassifier(model.eval(), classes=classes, protocol=protocol) for model in made
    )
    return ours, plain


def prepare(ours: TrainedClassifier, form: str, videos: Sequence[str]) -> TrainedClassifier:
    """Ours by an engine in a type; raises GraphError where it cannot be had."""
    engine, precision = form.split(",")
    named: Any = {"engine": engine, "precision": precision}
    if engine == "torch" and precision == "bfloat16" and best_precision("cpu") != "bf16-mixed":
        raise GraphError("bfloat16 is emulated on this processor")
    if precision == "int8":
        named["calibration"] = videos[:: -(-len(videos) // _NUM_CALIBRATING)]
    return ours.for_inference(**named)


def classify(prepared: TrainedClassifier, videos: Sequence[str]) -> Tensor:
    """Scores of all videos by one call."""
    results = dict(classify_videos(prepared, videos, progress=False))
    return stack([results[index] for index in range(len(videos))])


@torch.inference_mode()
def plain_loop(plain: TrainedClassifier, videos: Sequence[str], dtype: torch.dtype) -> Tensor:
    """The same as a user of pytorchvideo writes it, with our reader."""
    protocol = plain.protocol.for_prediction(1, 1)
    scores = []
    for video in videos:
        views = read_views(video, protocol)[None]
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            logits = plain.model(views)
        scores.append(average_views(logits.float(), "prob")[0])
    return torch.stack(scores)


def peak_bytes(words: str, form: str, videos: Sequence[str]) -> int | None:
    """The highest memory while all videos are classified, in this process."""
    keep_freed_memory()
    ours, plain = classifiers(words)
    if form in LOOPS:
        dtype = getattr(torch, form.split(", ")[1])
        work: Callable[[], Any] = lambda: plain_loop(plain, videos, dtype)  # noqa: E731
    else:
        prepared = prepare(ours, form, videos)
        del ours, plain
        classify(prepared, videos[:2])  # the graph is made, and weights are packed
        work = lambda: classify(prepared, videos)  # noqa: E731
    with watched_memory(torch.device("cpu")) as peak:
        work()
    return peak.num_bytes


def compare(table: Comparison, words: str, videos: Sequence[str], options: Any) -> None:
    """Lines for each form against each loop."""
    keep_freed_memory()
    ours, plain = classifiers(words)
    work: dict[str, Callable[[int], Any]] = {
        LOOPS[0]: lambda _: plain_loop(plain, videos, torch.float32)
    }
    if best_precision("cpu") == "bf16-mixed":
        work[LOOPS[1]] = lambda _: plain_loop(plain, videos, torch.bfloat16)
    exact, notes, case = work[LOOPS[0]](0), {}, f"{len(videos)} videos, {words}"
    for form in options.forms:
        try:
            prepared = prepare(ours, form, videos)
        except GraphError as error:
            table.leave_out(f"{case}, {form}", LOOPS[0], str(error))
            continue
        found = classify(prepared, videos)
        notes[form] = require_close(form, [found], [exact], _TOLERANCES[form.split(",")[1]])
        work[form] = lambda _, prepared=prepared: classify(prepared, videos)
    seconds = measure(work, options.rounds, time.perf_counter)
    context = get_context("spawn")
    for form, note in notes.items():
        for loop in LOOPS:
            if loop in seconds:
                table.add_times(
                    f"{case}, {form}", loop, seconds[form], seconds[loop], unit="s", note=note
                )
    if options.memory:
        for name in work:
            with ProcessPoolExecutor(1, mp_context=context) as process:
                num_bytes = process.submit(peak_bytes, words, name, videos).result()
            print(f"{name}: highest memory beyond the net {(num_bytes or 0) / 2**20:.0f} MiB")


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="with videos, searched in depth")
    parser.add_argument("--model", default="slow_gc", help="words of `gcvideo train model=`")
    parser.add_argument("--forms", nargs="+", default=FORMS, help="ENGINE,TYPE of ours")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--videos", type=int, default=120, help="classified at most")
    parser.add_argument("--memory", action="store_true", help="measure it, too")
    parser.add_argument("--json", help="file to write the figures to")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and print; 1 if scores are unequal."""
    options = parse_arguments(arguments)
    videos = find_videos(options.folder)[: options.videos]
    table = Comparison(f"wall time, medians of {options.rounds} rounds; ratio > 1: ours is faster")
    return report(table, lambda: compare(table, options.model, videos, options), options.json)


if __name__ == "__main__":
    sys.exit(main())
