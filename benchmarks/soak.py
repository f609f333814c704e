"""A long training: does its memory grow, and does anything stay behind?

python benchmarks/soak.py --minutes 30 --json soak.json

Trains on a small demo set in a session of its own (Linux), reads the memory and the descriptors of
all its processes from /proc every --seconds, and ends it with SIGTERM. "theirs" is the median over
the second epoch, the first after the warm-up, "ours" that over the last fifth of the time: a ratio
of at least 1 / 1.05 is flat. The exit code is 1 if the RSS of a process grew by more than that,
descriptors became more, or something stayed behind. RSS counts pages that processes share in each of
them, PSS in parts, and is printed only: it also rises when a page that was shared is written to, as
all that hold Python objects are by the first full garbage collection after the workers were forked.
"""

import argparse
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from comparison import Comparison, Row

GROWTH = 1.05
NUM_WORKERS = 2
SHARED_MEMORY = Path("/dev/shm")
END_SECONDS = 120
REFERENCE = "second epoch"


@dataclass(frozen=True)
class Usage:
    """What a process has in use.

    Args:
        rss: resident bytes; what is shared with other processes counts in full.
        pss: resident bytes, of which each of n processes that share them has 1/n. Without pages of
            files, for those of libraries are shared with whoever else runs on the machine.
        shared: those in shared memory, where batches lie.
        descriptors: open files.
    """

    rss: int
    pss: int
    shared: int
    descriptors: int

    @classmethod
    def read(cls, pid: int | str) -> "Usage":
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        kilobytes = dict(re.findall(r"^(\w+): +(\d+) kB", rollup, re.MULTILINE))
        names = ("Rss", "Pss_Anon", "Pss_Shmem")
        rss, anonymous, shared = (1024 * int(kilobytes[name]) for name in names)
        descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return cls(rss, anonymous + shared, shared, descriptors)


@dataclass(frozen=True)
class Sample:
    """The run at one moment.

    Args:
        epoch: that it is in, from 1.
        processes: by process number.
        temporary: bytes in its folder for temporary files.
    """

    epoch: int
    processes: dict[int, Usage]
    temporary: int

    def total(self, name: str) -> int:
        return sum(getattr(usage, name) for usage in self.processes.values())


class Training:
    """A training in a session of its own, with a folder of its own for temporary files.

    Args:
        folder: for all that it writes.
    """

    def __init__(self, folder: Path) -> None:
        self.run_folder, self.log = folder / "run", folder / "run.log"
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.in_shared_memory = set(SHARED_MEMORY.iterdir())
        root = Path(__file__).resolve().parent.parent
        command = [
            *(sys.executable, root / "scripts" / "train.py", "model=i3d_gc", "data=demo"),
            *("data.train_per_class=4", "data.val_per_class=2", "batch_size=8", "epochs=10000"),
            *(f"num_workers={NUM_WORKERS}", "checkpoint.every_n_steps=20"),
            *("trainer.enable_progress_bar=false", f"hydra.run.dir={self.run_folder}"),
        ]
        # torch keeps an empty folder for compiled code among temporary files.
        environment = {"TMPDIR": self.temporary, "TORCHINDUCTOR_CACHE_DIR": folder / "compiled"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {name: str(path) for name, path in environment.items()},
                start_new_session=True,
            )

    def watch(self, end_seconds: float, interval_seconds: float) -> list[Sample]:
        """Samples until the time is over or the training ends by itself."""
        end = time.monotonic() + end_seconds
        samples = []
        while time.monotonic() < end and self.process.poll() is None:
            sample = self._sample()
            if self.process.pid in sample.processes:
                samples.append(sample)
            time.sleep(interval_seconds)
        return samples

    def _sample(self) -> Sample:
        processes = {}
        for pid in self.living():
            try:
                processes[pid] = Usage.read(pid)
            except (FileNotFoundError, ProcessLookupError, KeyError):
                continue  # it has just ended
        finished = re.findall(r"^epoch \d+", self.log.read_text(), re.MULTILINE)
        temporary = sum(_size(path) for path in self.temporary.rglob("*"))
        return Sample(len(finished) + 1, processes, temporary)

    def living(self) -> Iterator[int]:
        """Numbers of its processes."""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, _, session = stat.read_text().rpartition(") ")[2].split()[:4]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(session) == self.process.pid and state != "Z":
                yield int(stat.parent.name)

    def stop(self) -> list[str]:
        """End it with SIGTERM; what is not as it must be."""
        self.process.terminate()
        try:
            status = self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return [f"it did not end within {END_SECONDS} s of SIGTERM"]
        faults = []
        if status != 128 + signal.SIGTERM:
            faults.append(f"the exit status after SIGTERM is {status}, expected 143")
        stopped = re.search(r"^stopped at step (\d+)", self.log.read_text(), re.MULTILINE)
        checkpoint = self.run_folder / "checkpoints" / "last.ckpt"
        if not stopped or not checkpoint.is_file():
            faults.append("it did not say where it stopped, or wrote no checkpoint")
        else:
            step = torch.load(checkpoint, map_location="cpu", weights_only=False)["global_step"]
            if step != int(stopped[1]):
                faults.append(f"it stopped at step {stopped[1]}, its checkpoint is of step {step}")
        return faults + self._left_behind()

    def _left_behind(self) -> list[str]:
        # A checkpoint not yet renamed, or a file not yet whole.
        drafts = (
            path for path in self.run_folder.rglob("*") if re.search("next|draft|tmp", path.name)
        )
        left: dict[str, list[Path] | list[int]] = {"drafts": list(drafts)}
        # Workers may take a moment to see that they are alone.
        time.sleep(5)
        left["processes"] = list(self.living())
        left["shared memory"] = sorted(set(SHARED_MEMORY.iterdir()) - self.in_shared_memory)
        left["temporary files"] = list(self.temporary.rglob("*"))
        return [
            f"{what} left behind: {', '.join(map(str, those))}"
            for what, those in left.items()
            if those
        ]

    def kill(self) -> None:
        """End whatever of it still lives."""
        for pid in self.living():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def compare(samples: Sequence[Sample], main: int) -> tuple[Comparison, list[str]]:
    """The table, and what grew.

    Args:
        samples: of the whole run.
        main: number of the process that trains.

    Raises:
        ValueError: if there is no sample after the second epoch.
    """
    before = [sample for sample in samples if sample.epoch == 2]
    if not before or samples[-1].epoch < 3:
        raise ValueError(
            f"the training came to epoch {samples[-1].epoch if samples else 0}; at least 2 epochs "
            "must be over: give more --minutes"
        )
    after = [sample for sample in samples[-max(len(samples) // 5, 1) :] if sample.epoch > 2]
    table = Comparison(
        f"{samples[-1].epoch - 1} epochs, {len(samples)} samples; ratio < {1 / GROWTH:.2f}: it grew"
    )
    faults = []

    def add(case: str, unit: str, figure: Callable[[Sample], float], limit: float = GROWTH) -> None:
        ours, theirs = (median(map(figure, group)) for group in (after, before))
        table.rows.append(Row(case, REFERENCE, ours, theirs, unit, theirs / ours if ours else 1.0))
        if ours > limit * theirs:
            faults.append(f"{case} grew from {theirs:.4g} to {ours:.4g} {unit}".rstrip())

    always = set.intersection(*(set(sample.processes) for sample in [*before, *after]))
    workers = sorted(always - {main})
    # Persistent ones: of the training, and then of the validation.
    if len(workers) != 2 * NUM_WORKERS:
        faults.append(f"{len(workers)} workers lived throughout, expected {2 * NUM_WORKERS}")
    names = {main: "main"} | {pid: f"worker {i}" for i, pid in enumerate(workers, start=1)}
    for pid, name in names.items():
        add(f"{name}, RSS", "MB", lambda s, pid=pid: s.processes[pid].rss / 1e6)
        add(f"{name}, PSS", "MB", lambda s, pid=pid: s.processes[pid].pss / 1e6, math.inf)
        add(f"{name}, descriptors", "", lambda s, pid=pid: s.processes[pid].descriptors, limit=1)
    add("all processes, PSS", "MB", lambda s: s.total("pss") / 1e6, math.inf)
    add("all processes, shared memory", "MB", lambda s: s.total("shared") / 1e6)
    add("temporary files", "MB", lambda s: s.temporary / 1e6)
    return table, faults


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of this script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30, help="that it trains")
    parser.add_argument("--seconds", type=float, default=0.25, help="between samples")
    parser.add_argument("--json", help="file to write the figures to")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, watch and show; 1 if something grew or stayed behind."""
    options = parse_arguments(arguments)
    with TemporaryDirectory() as name:
        training = Training(Path(name))
        try:
            samples = training.watch(60 * options.minutes, options.seconds)
            faults = training.stop()
            table, grown = compare(samples, training.process.pid)
        except ValueError as error:
            print(f"{error}\n{training.log.read_text()}", file=sys.stderr)
            return 1
        finally:
            training.kill()
    table.show()
    if options.json:
        table.write(options.json)
    for fault in [*grown, *faults]:
        print(fault, file=sys.stderr)
    return 1 if grown or faults else 0


if __name__ == "__main__":
    sys.exit(main())
