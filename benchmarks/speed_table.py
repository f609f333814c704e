"""The table of a benchmark: what was timed against what, for people and as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from rich.table import Table

from gcvideo._console import Console


@dataclass(frozen=True)
class Rate:
    """What a piece of work achieves of what the machine was measured to do.

    Args:
        rate: achieved.
        rate_unit: "GB/s" or "TFLOP/s".
        share: of the measured limit.
    """

    rate: float
    rate_unit: str
    share: float

    def __str__(self) -> str:
        return f"{self.rate:.3g} {self.rate_unit} ({self.share:.0%})"


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
        rate: of our way; None if there is no limit to compare with.
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
    rate: Rate | None = None


class SpeedTable:
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
        rate: Rate | None = None,
    ) -> None:
        """A line from two figures of which the smaller is the better."""
        low, high = spread or (None, None)
        self.rows.append(
            Row(case, reference, ours, theirs, unit, theirs / ours, low, high, note, rate)
        )

    def add_times(
        self,
        case: str,
        reference: str,
        ours: Float64[np.ndarray, " rounds"],
        theirs: Float64[np.ndarray, " rounds"],
        *,
        unit: str = "ms",
        note: str = "",
        rate: Rate | None = None,
    ) -> None:
        """A line from the seconds of each round; medians are compared.

        Args:
            case: what was done.
            reference: the other way of doing it.
            ours: seconds, one a round.
            theirs: seconds of the same rounds.
            unit: "ms" or "s", to show.
            note: for the last column.
            rate: of our way.
        """
        scale = {"ms": 1e3, "s": 1.0}[unit]
        low, high = np.quantile(theirs / ours, [0.25, 0.75])
        medians = float(np.median(ours)) * scale, float(np.median(theirs)) * scale
        spread = float(low), float(high)
        self.add(case, reference, *medians, unit, spread=spread, note=note, rate=rate)

    def leave_out(self, case: str, reference: str, reason: str) -> None:
        """A line for a reference that cannot be had here."""
        self.rows.append(Row(case, reference, None, None, "", None, note=f"left out: {reason}"))

    def show(self) -> None:
        """Print the table."""
        has_rates = any(row.rate for row in self.rows)
        table = Table(title=self.title, title_justify="left")
        for heading in ("case", "reference"):
            table.add_column(heading, overflow="fold")
        for heading in ("ours", "theirs", "unit", "ratio", "quartiles"):
            table.add_column(heading, justify="right", no_wrap=True)
        if has_rates:
            table.add_column("ours achieves", justify="right", no_wrap=True)
        table.add_column("note", overflow="fold")
        for row in self.rows:
            rate = (str(row.rate or ""),) if has_rates else ()
            table.add_row(row.case, row.reference, *_figures(row), *rate, row.note)
        # A file or a pipe has no width of its own, and a cut figure is of no use.
        console = Console()
        if not console.is_terminal:
            console = Console(width=180 if has_rates else 160)
        console.print(table)

    def write(self, path: str | Path, machine: Mapping[str, Any] | None = None) -> None:
        """Write the lines to a JSON file, a list of objects with the fields of ``Row``.

        Args:
            path: of the file.
            machine: what all lines were measured on, to stand in each of them.
        """
        file = Path(path)
        draft = file.with_name(f".{file.name}.draft")
        lines = [{**_plain(row), **(machine or {})} for row in self.rows]
        draft.write_text(json.dumps(lines, indent=1) + "\n")
        draft.replace(file)


def _figures(row: Row) -> tuple[str, ...]:
    if row.ratio is None:
        return ("-",) * 5
    spread = "" if row.low is None else f"{row.low:.2f} - {row.high:.2f}"
    return (f"{row.ours:.4g}", f"{row.theirs:.4g}", row.unit, f"{row.ratio:.2f}", spread)


def _plain(row: Row) -> dict[str, Any]:
    fields = asdict(row)
    rate = fields.pop("rate")
    return fields if rate is None else fields | rate
