"""Ways of doing the same thing, timed in turn in one process: a table for people, JSON for scripts."""

import gc
import json
import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table


class UnequalError(Exception):
    """Two ways gave different results, so their times must not be compared."""


@dataclass(frozen=True)
class Row:
    """One line of a comparison.

    Args:
        case: what is done.
        reference: the other way of doing it.
        ours: median of our way in ``unit``; None where the reference was left out.
        theirs: median of the other way.
        unit: of both.
        ratio: theirs / ours, so more than 1 where ours is better.
        low: first quartile over the rounds of theirs / ours within a round; None if not timed.
        high: third quartile.
        note: how the results were compared, or why the reference was left out.
    """

    case: str
    reference: str
    ours: float | None
    theirs: float | None
    unit: str
    ratio: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


class Comparison:
    """The lines of a benchmark.

    Args:
        title: over the table.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.rows: list[Row] = []

    def add(
        self,
        case: str,
        reference: str,
        ours: float,
        theirs: float,
        unit: str,
        *,
        spread: tuple[float, float] | None = None,
        note: str = "",
    ) -> None:
        """A line from two figures of which the smaller is the better."""
        low, high = spread or (None, None)
        self.rows.append(
            Row(case, reference, ours, theirs, unit, theirs / ours, low, high, note=note)
        )

    def add_times(
        self,
        case: str,
        reference: str,
        ours: np.ndarray,
        theirs: np.ndarray,
        *,
        unit: str = "ms",
        note: str = "",
    ) -> None:
        """A line from the seconds of each round; medians are compared.

        Args:
            case: what was done.
            reference: the other way of doing it.
            ours: seconds, one a round.
            theirs: seconds of the same rounds.
            unit: "ms" or "s", to show.
            note: for the last column.
        """
        scale = {"ms": 1e3, "s": 1.0}[unit]
        low, high = np.quantile(theirs / ours, [0.25, 0.75])
        medians = float(np.median(ours)) * scale, float(np.median(theirs)) * scale
        self.add(case, reference, *medians, unit, spread=(float(low), float(high)), note=note)

    def leave_out(self, case: str, reference: str, reason: str) -> None:
        """A line for a reference that cannot be had here."""
        self.rows.append(Row(case, reference, None, None, "", None, note=f"left out: {reason}"))

    def show(self) -> None:
        """Print the table."""
        table = Table(title=self.title, title_justify="left")
        for heading in ("case", "reference"):
            table.add_column(heading, overflow="fold")
        for heading in ("ours", "theirs", "unit", "ratio", "quartiles"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("note", overflow="fold")
        for row in self.rows:
            figures = ("-",) * 5
            if row.ratio is not None:
                spread = "" if row.low is None else f"{row.low:.2f} - {row.high:.2f}"
                medians = f"{row.ours:.4g}", f"{row.theirs:.4g}"
                figures = (*medians, row.unit, f"{row.ratio:.2f}", spread)
            table.add_row(row.case, row.reference, *figures, row.note)
        # A file or a pipe has no width of its own, and a cut figure is of no use.
        console = Console()
        if not console.is_terminal:
            console = Console(width=160)
        console.print(table)

    def write(self, path: str | Path) -> None:
        """Write the lines to a JSON file, a list of objects with the fields of ``Row``."""
        file = Path(path)
        draft = file.with_name(f".{file.name}.draft")
        draft.write_text(json.dumps([asdict(row) for row in self.rows], indent=1) + "\n")
        draft.replace(file)


def measure(
    contenders: Mapping[str, Callable[[int], Any]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, np.ndarray]:
    """Seconds of each contender in each round, by name.

    All take part in every round, each time another one first, after one call that is not timed.

    Args:
        contenders: called with the number of the round.
        rounds: at least 1.
        clock: in seconds; CPU time by default.
    """
    names = list(contenders)
    seconds = {name: np.empty(rounds) for name in names}
    for name in names:
        contenders[name](0)
    # A collection would look at every object of every library each time.
    gc.freeze()
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            # Nobody pays for what the one before left behind.
            gc.collect()
            start = clock()
            result = contenders[name](number)
            seconds[name][number] = clock() - start
            del result
    gc.unfreeze()
    return seconds


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
