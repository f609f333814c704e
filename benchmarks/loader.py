"""Time of loading batches: ours against pytorchvideo's data set, and our own settings.

python benchmarks/loader.py --json loader.json

CPU time counts the worker processes. The exit code is 1 if the clips are not the same.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from comparison import (
    Comparison,
    UnequalError,
    cpu_seconds_with_children,
    measure,
    one_core,
    parse_size,
    report,
    require_equal,
)
from load import Load
from torch.utils.data import DataLoader

from gcvideo.data import EvaluationProtocol, EvaluationVideos, VideoItem

SEED = 0


class _SlowStorage(EvaluationVideos):
    """Some files take ten times as long as the theirs: the rest of the time is waited for."""

    def __init__(self, load: Load, protocol: EvaluationProtocol) -> None:
        super().__init__(load.annotations, protocol=protocol)
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            super().__getitem__(0)
            seconds.append(time.perf_counter() - start)
        self.extra_seconds = 9 * float(np.median(seconds))
        num_slow = max(round(0.05 * len(self)), 1)
        slow = np.random.default_rng(SEED).choice(len(self), num_slow, replace=False)
        self.slow = frozenset(slow.tolist())

    def __getitem__(self, video: int) -> VideoItem:
        if video in self.slow:
            time.sleep(self.extra_seconds)
        return super().__getitem__(video)


def compare_datasets(table: Comparison, load: Load, kind: str, rounds: int) -> None:
    """An epoch of ours against one of pytorchvideo's, in CPU time a clip, and bytes a batch."""
    case = f"epoch of clips, {kind}"
    name = "pytorchvideo's LabeledVideoDataset"
    try:
        name = f"{name} {version('pytorchvideo')}"
        import_module("pytorchvideo.data")
    # A library may fail to load its own libraries with any error.
    except Exception as error:
        table.leave_out(case, name, str(error).strip() or type(error).__name__)
        return
    ours = _clips(load.ours(0), "views")
    theirs = _clips(load.theirs(0), "clip")
    if ours.keys() != theirs.keys():
        raise UnequalError(
            f"{case}: ours has {len(ours)} videos, theirs {len(theirs)}; they must be equal"
        )
    videos = sorted(ours)
    note = require_equal(
        case,
        np.stack([ours[video][0] for video in videos]),
        np.stack([theirs[video] for video in videos]),
        tolerance=1.0,
    )
    for workers in (0, 2):
        ways = {
            "ours": lambda _, workers=workers: _run(load.ours(workers)),
            "theirs": lambda _, workers=workers: _run(load.theirs(workers)),
        }
        # Workers take a core each by themselves.
        with nullcontext() if workers else one_core():
            seconds = measure(ways, rounds, cpu_seconds_with_children)
        a, b = (seconds[key] / len(load.annotations) for key in ("ours", "theirs"))
        table.add_times(f"clip, {kind}, {workers} workers", name, a, b, note=note)
    sizes = (
        next(iter(load.ours(0)))["views"].nbytes / 1e6,
        next(iter(load.theirs(0)))["clip"].nbytes / 1e6,
    )
    table.add(
        f"batch of {load.batch_size}, {kind}", name, *sizes, "MB", note="uint8, theirs is float32"
    )


def compare_clips_per_video(table: Comparison, load: Load, kind: str, rounds: int) -> None:
    """Two views of half the videos against one view of all."""
    seconds = measure(
        {
            "two": lambda _: _run(load.ours(0, clips_per_video=2)),
            "one": lambda _: _run(load.ours(0)),
        },
        rounds,
    )
    two, one = seconds["two"], seconds["one"]
    num_pairs = len(load.annotations) // 2
    table.add_times(
        f"clip, {kind}, clips_per_video=2",
        "ours, 1",
        two / (2 * num_pairs),
        one / len(load.annotations),
    )


def compare_orders(table: Comparison, load: Load, rounds: int) -> None:
    """Batches as they come against batches in order, where one file in twenty is slow."""
    for batch_size in (1, load.batch_size):
        dataset = _SlowStorage(load, load.protocol.single_view())

        def run(in_order: bool, batch_size: int = batch_size, dataset: Any = dataset) -> None:
            _run(
                DataLoader(
                    dataset,
                    batch_size=batch_size,
                    num_workers=2,
                    in_order=in_order,
                )
            )

        seconds = measure(
            {"any": lambda _, run=run: run(False), "order": lambda _, run=run: run(True)},
            rounds,
            time.perf_counter,
        )
        table.add_times(
            f"validation, batches of {batch_size}, in_order=False",
            "ours, in_order=True",
            seconds["any"],
            seconds["order"],
            unit="s",
            note="wall time; 5 % of the files ten times slower",
        )


def _clips(loader: DataLoader[Any], name: str) -> dict[int, np.ndarray]:
    """By the number of their video."""
    return {
        int(video): clip.numpy()
        for batch in loader
        for video, clip in zip(batch["video"], batch[name], strict=True)
    }


def _run(loader: DataLoader[Any]) -> None:
    for _ in loader:
        pass


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of this script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    cases = ("dataset", "clips", "order")
    parser.add_argument("--case", nargs="+", choices=cases, default=cases)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--videos", type=int, default=64, help="listed")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10, help="length of a video")
    parser.add_argument("--size", type=parse_size, default=(340, 256), help="of the videos")
    parser.add_argument("--json", help="file to write the figures to")
    return parser.parse_args(arguments)


def compare_cases(table: Comparison, options: argparse.Namespace, folder: Path) -> None:
    """Lines of the chosen cases, of videos that are made in the folder."""
    dense, sparse = (Load.make(folder, options, gop_size) for gop_size in (16, 250))
    if "dataset" in options.case:
        compare_datasets(table, dense, "GOP 16", options.rounds)
        compare_datasets(table, sparse, "GOP 250", options.rounds)
    if "clips" in options.case:
        with one_core():
            compare_clips_per_video(table, dense, "GOP 16", options.rounds)
            compare_clips_per_video(table, sparse, "GOP 250", options.rounds)
    if "order" in options.case:
        compare_orders(table, dense, options.rounds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and print; 1 if clips are unequal."""
    options = parse_arguments(arguments)
    torch.set_num_threads(1)
    table = Comparison(
        f"loading of clips, medians of {options.rounds} rounds; ratio > 1: ours is better"
    )
    with TemporaryDirectory() as name:
        return report(table, lambda: compare_cases(table, options, Path(name)), options.json)


if __name__ == "__main__":
    sys.exit(main())
