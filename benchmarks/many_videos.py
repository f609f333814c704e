"""A prediction of very many videos: killed and gone on with, in parts, and in memory.

python benchmarks/many_videos.py CHECKPOINT FOLDER --videos 20000 --kills 5 --json many.json
python benchmarks/many_videos.py CHECKPOINT FOLDER --videos 1000000 --start-only

The videos are links to those of the folder (Linux). Undisturbed, killed (SIGKILL) at random moments and gone on
with, and in four parts that are merged, the file of results must be the same, byte for byte. "ours" is the time
of the command from its first result to its last, "theirs" that of `classify_videos` on the same files from its
first to its last. The memory is the RSS of the process that has the net, from the thousandth result on; batches
under way make it go up and down, so its growth is that from the median over the first fifth to that over the
last. The exit code is 1 if files differ or the memory grows by 50 MB.
"""

import argparse
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from argparse import RawTextHelpFormatter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from classification import find_videos
from comparison import Comparison, UnequalError, report
from soak import Usage

import gcvideo
from gcvideo.inference import classify_videos

_NUM_PARTS = 4
_FIRST = 1000  # results after which memory has settled
_MOST_GROWTH = 50 * 10**6
_LINKS_PER_FOLDER = 10_000
_TICK_SECONDS = 0.1


@dataclass
class Seen:
    """What is seen of a command.

    Args:
        start: seconds until its output exists: the videos are listed and the net is there.
        first: seconds until the first result.
        last: seconds until the last one.
        rss: RSS at the last look.
        samples: RSS from the thousandth result on.
    """

    start: float = 0.0
    first: float = 0.0
    last: float = 0.0
    rss: int = 0
    samples: list[int] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """From the median of the first fifth of the samples to that of the last."""
        num = max(1, len(self.samples) // 5)
        return median(self.samples[-num:]) - median(self.samples[:num]) if self.samples else 0.0


def make_links(videos: Sequence[str], num: int, folder: Path) -> None:
    """Fill a folder with so many links, in folders of ten thousand."""
    sources = itertools.cycle([Path(video).resolve() for video in videos])
    for number in range(num):
        place = folder / f"{number // _LINKS_PER_FOLDER:04d}"
        if number % _LINKS_PER_FOLDER == 0:
            place.mkdir(parents=True)
        os.symlink(next(sources), place / f"{number:07d}.mp4")  # noqa: PTH211 (a million)


def start(checkpoint: str, videos: Path, output: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start a prediction in a session of its own."""
    command = [sys.executable, "-m", "gcvideo.cli", "predict", checkpoint, str(videos)]
    return subprocess.Popen(
        [*command, f"output={output}", "device=cpu", "top_k=1", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def watch(process: subprocess.Popen[bytes], output: Path, stop_after: int | None = None) -> Seen:
    """Watch a command to its end, or end it after so many bytes of results."""
    seen, begun = Seen(), time.perf_counter()
    size = 0
    while process.poll() is None:
        now = time.perf_counter() - begun
        grown = output.stat().st_size if output.exists() else None
        if grown is not None and not seen.start:
            seen.start = now
        if grown and not seen.first:
            seen.first = now
        if grown and grown > size:
            size, seen.last = grown, now
        if size > 0:
            _note_memory(seen, process, output)
        if stop_after is not None and size >= stop_after:
            os.killpg(process.pid, signal.SIGKILL)
        time.sleep(_TICK_SECONDS)
    process.wait()
    return seen


def _note_memory(seen: Seen, process: subprocess.Popen[bytes], output: Path) -> None:
    try:
        rss = Usage.read(process.pid).rss
    except (OSError, ValueError, KeyError):
        return  # it has just ended
    seen.rss = rss
    if seen.samples or output.read_bytes().count(b"\n") >= _FIRST:
        seen.samples.append(rss)


def run_whole(checkpoint: str, links: Path, output: Path, *words: str) -> Seen:
    """A prediction that nothing disturbs."""
    process = start(checkpoint, links, output, *words)
    seen = watch(process, output)
    if process.returncode not in (0, 1):
        raise SystemExit(f"the prediction ended with {process.returncode}")
    return seen


def run_killed(checkpoint: str, links: Path, output: Path, size: int, kills: int) -> None:
    """The same one, killed at random sizes of its output."""
    moments = sorted(random.Random(0).uniform(0.05, 0.95) * size for _ in range(kills))
    for moment in moments:
        watch(start(checkpoint, links, output), output, int(moment))
    run_whole(checkpoint, links, output)


def run_parts(checkpoint: str, links: Path, output: Path) -> None:
    """The same one in parts, one after the other, and merged."""
    for number in range(_NUM_PARTS):
        part = output.with_name(f"{output.stem}.{number}-of-{_NUM_PARTS}{output.suffix}")
        run_whole(checkpoint, links, part, f"output={output}", f"shard={number}/{_NUM_PARTS}")
    command = [sys.executable, "-m", "gcvideo.cli", "merge", str(output)]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)


def plain_seconds(checkpoint: str, links: Path) -> float:
    """From the first result of classify_videos to its last."""
    classifier = gcvideo.load(checkpoint, device="cpu").for_inference()
    results = classify_videos(classifier, find_videos(links), progress=False)
    next(results)
    begun = time.perf_counter()
    for _ in results:
        pass
    return time.perf_counter() - begun


def compare(table: Comparison, options: argparse.Namespace, folder: Path) -> None:
    """The lines of the table; UnequalError for results that differ or memory that grows."""
    links, checkpoint = folder / "links", options.checkpoint
    make_links(find_videos(options.folder), options.videos, links)
    whole, killed, merged = (folder / f"{name}.jsonl" for name in ("whole", "killed", "merged"))
    seen = run_whole(checkpoint, links, whole)
    lowest, highest = min(seen.samples, default=0) / 1e6, max(seen.samples, default=0) / 1e6
    print(
        f"{options.videos} videos: memory {lowest:.0f} to {highest:.0f} MB, growth "
        f"{seen.growth / 1e6:+.1f} MB; first result after {seen.first:.1f} s"
    )
    run_killed(checkpoint, links, killed, whole.stat().st_size, options.kills)
    run_parts(checkpoint, links, merged)
    for path in (killed, merged):
        if path.read_bytes() != whole.read_bytes():
            raise UnequalError(f"the results of '{path.stem}' are not those of an undisturbed run")
    if seen.growth > _MOST_GROWTH:
        raise UnequalError(f"memory has grown by {seen.growth / 1e6:.0f} MB")
    ours, theirs = [], []
    for number in range(options.rounds):
        theirs.append(plain_seconds(checkpoint, links))
        seen = run_whole(checkpoint, links, folder / f"{number}.jsonl")
        ours.append(max(seen.last - seen.first, _TICK_SECONDS))
    note = f"{options.kills} kills and {_NUM_PARTS} parts: the same bytes"
    case = f"{options.videos} videos"
    table.add_times(case, "classify_videos", np.array(ours), np.array(theirs), unit="s", note=note)


def show_start(options: argparse.Namespace, folder: Path) -> int:
    """How long a prediction takes to start, and what its list takes; then it is killed."""
    links, output = folder / "links", folder / "out.jsonl"
    make_links(find_videos(options.folder), options.videos, links)
    process = start(options.checkpoint, links, output)
    seen = watch(process, output, stop_after=1)
    few = folder / "few"
    make_links(find_videos(options.folder), 100, few)
    small = watch(start(options.checkpoint, few, folder / "few.jsonl"), folder / "few.jsonl", 1)
    print(
        f"{options.videos} videos: output after {seen.start:.1f} s (of 100 videos {small.start:.1f}), first "
        f"result after {seen.first:.1f} s ({small.first:.1f}), then {(seen.rss - small.rss) / 1e6:.0f} MB more"
    )
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and print; 1 if results differ or memory grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawTextHelpFormatter)
    parser.add_argument("checkpoint", help="of a small net, or it takes long")
    parser.add_argument("folder", type=Path, help="with short videos, searched in depth")
    parser.add_argument("--videos", type=int, default=20_000, help="links to make")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=1, help="of the times")
    parser.add_argument("--start-only", action="store_true", help="measure the start alone")
    parser.add_argument("--json", help="file to write the figures to")
    options = parser.parse_args(arguments)
    with TemporaryDirectory() as folder:
        if options.start_only:
            return show_start(options, Path(folder))
        table = Comparison("wall time; ratio > 1: ours is faster")
        return report(table, lambda: compare(table, options, Path(folder)), options.json)


if __name__ == "__main__":
    sys.exit(main())
