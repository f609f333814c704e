"""Time of classifying many videos: ours against a loop over them, and the possible.

python benchmarks/classification.py --json classification.json
python benchmarks/classification.py FOLDER --checkpoint runs/.../checkpoints/best.ckpt

Wall time on all cores, after the scores were found equal. The exit code is 1 if they are not.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from comparison import Comparison, UnequalError, measure, parse_size, report
from footage import make_video

from gcvideo.data import VIDEO_SUFFIXES, EvaluationProtocol, SlowFastSampling
from gcvideo.inference import TrainedClassifier, clip_classifier, load
from gcvideo.inference._batch import classify_videos, read_videos, score_groups
from gcvideo.models import Placement, i3d_resnet, slow_resnet
from gcvideo.nn import global_context

TOLERANCE = 1e-4
MANY_VIEWS = (10, 3)


def small_classifier() -> TrainedClassifier:
    """A narrow I3D with five GC blocks, for clips of 8 x 104 x 104."""
    placement = Placement(block=partial(global_context, ratio=0.25), res3=[1, 3], res4=[1, 3, 5])
    net = i3d_resnet(num_classes=6, width=16, placement=placement)
    return _classifier(net, num_classes=6, sampling_rate=12, short_side=104, crop_size=96)


def full_classifier() -> TrainedClassifier:
    """Slow R50 8x8 for Kinetics-400 at 256 x 256."""
    net = slow_resnet(num_classes=400)
    return _classifier(net, num_classes=400, sampling_rate=8, short_side=256, crop_size=224)


def _classifier(
    net: torch.nn.Module, *, num_classes: int, sampling_rate: int, short_side: int, crop_size: int
) -> TrainedClassifier:
    protocol = EvaluationProtocol(
        name="benchmark",
        sampling=SlowFastSampling(),
        num_frames=8,
        sampling_rate=sampling_rate,
        short_side=short_side,
        crop_size=short_side,
        val_crop_size=short_side,
        train_crop_size=crop_size,
        head="fcn_prob",
    )
    model = clip_classifier(net, protocol).eval()
    classes = [str(label) for label in range(num_classes)]
    return TrainedClassifier(model, classes=classes, protocol=protocol)


def compare(
    table: Comparison,
    case: str,
    classifier: TrainedClassifier,
    videos: Sequence[str],
    rounds: int,
    views: tuple[int, int] = (1, 1),
) -> None:
    """One call for all videos against a loop, and against its two parts alone."""
    num_clips, num_crops = views

    def ours(_: int) -> torch.Tensor:
        results = dict(
            classify_videos(classifier, videos, num_clips=num_clips, num_crops=num_crops)
        )
        return stack([results[index] for index in range(len(videos))])

    def theirs(_: int) -> torch.Tensor:
        scores = (classifier.scores(v, num_clips=num_clips, num_crops=num_crops) for v in videos)
        return torch.stack(list(scores))

    difference = float((ours(0) - theirs(0)).abs().max())
    if not difference <= TOLERANCE:
        raise UnequalError(
            f"{case}: scores differ by {difference:.2g}, {TOLERANCE:g} is allowed; find the wrong one "
            "before times are compared"
        )
    protocol = classifier.protocol.for_prediction(num_clips, num_crops)
    decoded = list(read_videos(protocol, videos))
    prepared = classifier.for_inference()
    seconds = measure(
        {
            "ours": ours,
            "theirs": theirs,
            "decoding": lambda _: list(read_videos(protocol, videos)),
            "forward": lambda _: list(score_groups(prepared, protocol, (pair for pair in decoded))),
        },
        rounds,
        time.perf_counter,
    )
    case = f"{len(videos)} videos, {case}"
    note = f"scores differ by {difference:.1e}"
    table.add_times(
        case, "loop over scores()", seconds["ours"], seconds["theirs"], unit="s", note=note
    )
    for part in ("decoding", "forward"):
        table.add_times(case, f"{part} alone", seconds["ours"], seconds[part], unit="s")
    limit = seconds["decoding"] + seconds["forward"]
    table.add_times(case, "both parts", seconds["ours"], limit, unit="s", note="1 is the limit")


def stack(results: Sequence[torch.Tensor | Exception]) -> torch.Tensor:
    """Scores of all videos; the first error of one is raised."""
    for result in results:
        if isinstance(result, Exception):
            raise result
    return torch.stack([result for result in results if isinstance(result, torch.Tensor)])


def find_videos(folder: Path) -> list[str]:
    """Paths of the videos in a folder, searched in depth; raises ValueError if there is none."""
    found = sorted(str(p) for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
    if not found:
        raise ValueError(f"no video in '{folder}'; give a folder with videos, or none")
    return found


def make_videos(folder: Path, options: argparse.Namespace) -> list[str]:
    """Paths of made videos of different lengths."""
    paths = [folder / f"{number:03}.mp4" for number in range(options.videos)]
    for number, path in enumerate(paths):
        seconds = options.seconds * (0.5 + number / max(len(paths) - 1, 1))
        make_video(path, size=options.size, seconds=seconds, gop_size=250)
    return [str(path) for path in paths]


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of this script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    cases = ("one", "many", "full")
    parser.add_argument("folder", nargs="?", type=Path, help="with videos; none: made ones")
    parser.add_argument("--checkpoint", help="instead of the small net with random weights")
    parser.add_argument("--case", nargs="+", choices=cases, default=cases)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--videos", type=int, default=120, help="classified at most, or made")
    parser.add_argument("--seconds", type=float, default=3, help="mean length of made videos")
    parser.add_argument("--size", type=parse_size, default=(320, 240), help="of made videos")
    parser.add_argument("--json", help="file to write the figures to")
    return parser.parse_args(arguments)


def compare_cases(table: Comparison, options: argparse.Namespace, folder: Path) -> None:
    """Lines of the chosen cases; videos that are made lie in the folder."""
    found = find_videos(options.folder) if options.folder else make_videos(folder, options)
    videos = found[: options.videos]
    small = load(options.checkpoint, device="cpu") if options.checkpoint else small_classifier()
    if "one" in options.case:
        compare(table, "small net, 1 view", small, videos, options.rounds)
    if "many" in options.case:
        # Spread over the list, which may be sorted by class.
        few = videos[:: -(-len(videos) // 15)]
        case = f"small net, {MANY_VIEWS[0]} x {MANY_VIEWS[1]} views"
        compare(table, case, small, few, options.rounds, MANY_VIEWS)
    if "full" in options.case:
        few = videos[:: -(-len(videos) // 8)]
        compare(table, "Slow R50, 1 view", full_classifier(), few, options.rounds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and print; 1 if scores are unequal."""
    options = parse_arguments(arguments)
    torch.manual_seed(0)
    table = Comparison(f"wall time, medians of {options.rounds} rounds; ratio > 1: ours is faster")
    with TemporaryDirectory() as name:
        return report(table, lambda: compare_cases(table, options, Path(name)), options.json)


if __name__ == "__main__":
    sys.exit(main())
