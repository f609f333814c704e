"""What the benchmarks share: the table of a comparison, turns, cores and equal pixels."""

import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from alternation import UnequalError as UnequalError
from alternation import measure as measure
from speed_table import Row as Row
from speed_table import SpeedTable

Comparison = SpeedTable


def report(table: Comparison, compare: Callable[[], None], path: Path | None) -> int:
    """Fill a table and print it; 1, with the reason, if results are unequal.

    Args:
        table: what the comparison fills.
        compare: adds the lines of the table.
        path: json file for the lines; None: only the print.
    """
    try:
        compare()
    except UnequalError as error:
        print(error, file=sys.stderr)
        return 1
    table.show()
    if path is not None:
        table.write(path)
    return 0


def cpu_seconds_with_children() -> float:
    """CPU time of this process and of the processes that it started and that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@contextmanager
def one_core() -> Iterator[None]:
    """Run on a single core where the system allows it, so that everybody has one thread's worth."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    use_one_core()
    try:
        yield
    finally:
        if cores:
            os.sched_setaffinity(0, cores)


def use_one_core(worker: int = -1) -> None:
    """Keep this process to one core where the system allows it; workers are spread over all.

    Args:
        worker: number of a process of a loader.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[worker % len(cores)]})


def require_equal(
    what: str, ours: np.ndarray, theirs: np.ndarray, *, tolerance: float = 0.0
) -> str:
    """How equal two results are, in words; raises UnequalError.

    Args:
        what: was computed, for the message.
        ours: pixels.
        theirs: the same pixels by another way.
        tolerance: largest mean absolute difference in grey levels; 0: every value is the same.
    """
    if ours.shape != theirs.shape:
        raise UnequalError(
            f"{what}: the result has the shape {ours.shape}, the reference's {theirs.shape}; they "
            "must be equal before their times are compared"
        )
    difference = float(np.abs(ours.astype(np.float32) - theirs.astype(np.float32)).mean())
    if difference > tolerance:
        raise UnequalError(
            f"{what}: pixels differ by {difference:.4g} levels on average, {tolerance:g} are "
            "allowed; find the wrong one before times are compared"
        )
    return "equal" if difference == 0 else f"mean difference {difference:.3f} levels"


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of a text such as "340x256"; raises ValueError."""
    width, _, height = text.partition("x")
    return int(width), int(height)
