"""Opening, pickling and sharing a long sample list: ours against a Python list of (path, label).

python benchmarks/sample_list.py --json sample_list.json

Makes a list of --rows videos in a temporary folder, which holds the cache as well. The growth of a
worker is its unique set size (smaps_rollup, Linux) after it has touched every row, less the one
before; two forked DataLoader workers touch their rows at the same time.
"""

import argparse
import multiprocessing
import os
import pickle
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from comparison import Comparison
from torch.utils.data import DataLoader, Dataset

from gcvideo.data import (
    Annotations,
    EvaluationProtocol,
    SlowFastSampling,
    TrainingVideos,
    TrainTransform,
    read_annotations,
)

REFERENCE = "Python list"
NUM_WORKERS = 2


class TouchedRows(Dataset[int]):
    """Item i reads all rows and gives the bytes by which the process has grown."""

    def __init__(self, num_rows: int, row: Callable[[int], tuple[str, int]]) -> None:
        self.num_rows = num_rows
        self.row = row
        self.barrier = multiprocessing.get_context("fork").Barrier(NUM_WORKERS)

    def __len__(self) -> int:
        return NUM_WORKERS

    def __getitem__(self, index: int) -> int:
        before = unique_bytes()
        for i in range(self.num_rows):
            self.row(i)
        self.barrier.wait()
        grown = unique_bytes() - before
        self.barrier.wait()
        return grown


def unique_bytes() -> int:
    """Memory that this process shares with no other."""
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return 1024 * sum(map(int, re.findall(r"Private_(?:Clean|Dirty): +([0-9]+) kB", rollup)))


def growth(num_rows: int, row: Callable[[int], tuple[str, int]]) -> float:
    """Mean growth of a worker in MB."""
    loader = DataLoader(
        TouchedRows(num_rows, row),
        batch_size=1,
        num_workers=NUM_WORKERS,
        multiprocessing_context="fork",
    )
    return torch.cat(list(loader)).double().mean().item() / 1e6


def write_list(file: Path, num_rows: int) -> None:
    """Names like those of Kinetics-700; only the first file exists."""
    with file.open("w") as stream:
        for i in range(num_rows):
            start = i % 300
            clip = f"{i * 2654435761 % 2**44:011x}_{start:06d}_{start + 10:06d}.mp4"
            stream.write(f"train/some_class_name_{i % 700:03d}/{clip} {i % 700}\n")
    first = file.parent / file.open().readline().rsplit(maxsplit=1)[0]
    first.parent.mkdir(parents=True)
    first.touch()


def read_as_list(file: Path) -> list[tuple[str, int]]:
    """What many data sets do."""
    with file.open() as stream:
        rows = (line.rsplit(maxsplit=1) for line in stream)
        return [(path, int(label)) for path, label in rows]


def open_videos(file: Path) -> TrainingVideos:
    """Our data set, ready for a loader."""
    protocol = EvaluationProtocol(
        name="benchmark",
        sampling=SlowFastSampling(),
        num_frames=8,
        sampling_rate=8,
        num_clips=10,
        num_crops=3,
        short_side=256,
        crop_size=256,
        val_crop_size=224,
        train_crop_size=224,
    )
    annotations = read_annotations(file, root=file.parent)
    return TrainingVideos(annotations, protocol=protocol, transform=TrainTransform([]))


def seconds(call: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(file: Path, num_rows: int) -> Comparison:
    """All lines of the table."""
    table = Comparison(f"A list of {num_rows} samples, {NUM_WORKERS} workers")
    first = seconds(lambda: open_videos(file))
    rows = read_as_list(file)
    as_list = min(seconds(lambda: read_as_list(file)) for _ in range(3))
    table.add("first read", REFERENCE, first, as_list, "s", note="ours checks labels and keeps it")
    again = min(seconds(lambda: open_videos(file)) for _ in range(3))
    table.add("later open", REFERENCE, again, as_list, "s")
    videos = open_videos(file)
    annotations: Annotations = videos.annotations
    if [*zip(annotations.paths, annotations.labels.tolist(), strict=True)] != rows:
        raise SystemExit("the lists differ; do not compare their costs before they agree")
    ours, theirs = (len(pickle.dumps(what)) / 1e3 for what in (videos, rows))
    table.add("pickle", REFERENCE, ours, theirs, "kB")
    root = annotations.root
    ours = growth(num_rows, lambda i: (annotations.path(i), int(annotations.labels[i])))
    theirs = growth(num_rows, lambda i: (f"{root}/{rows[i][0]}", rows[i][1]))
    table.add("growth of a worker", REFERENCE, ours, theirs, "MB", note="unique set size")
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the list, measure and show."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=650_000, help="samples of the list")
    parser.add_argument("--json", type=Path, help="write the table there as well")
    args = parser.parse_args(arguments)
    with TemporaryDirectory() as folder:
        os.environ["GCVIDEO_CACHE"] = folder
        file = Path(folder) / "list.txt"
        write_list(file, args.rows)
        table = compare(file, args.rows)
    table.show()
    if args.json:
        table.write(args.json)


if __name__ == "__main__":
    main()
