"""Pictures of a benchmark: bars of ratios, and the parts of a training step."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from speed_table import Row
from step_profile import StepProfile

_FASTER, _SLOWER, _NEUTRAL = "#0072B2", "#D55E00", "#56B4E9"
_SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "ytick.left": False,
}
_INCHES_PER_BAR = 0.27
_INCHES_PER_LETTER = 0.075
_AXES_INCHES = 4.5


def write_speed_figure(rows: Sequence[Row], path: Path, title: str) -> None:
    """Write the ratios of a table as a PNG file: bars from 1, on a logarithmic axis, with quartiles.

    Args:
        rows: of the table; those that were left out have no bar.
        path: of the file.
        title: over the bars.
    """
    shown = [row for row in rows if row.ratio is not None]

    def draw(axes: Axes) -> None:
        for place, row in enumerate(shown):
            ratio = row.ratio or 1.0
            # A bar has its length from 1, which is where a logarithmic axis has nothing to show.
            axes.barh(
                place, ratio - 1, left=1, height=0.7, color=_FASTER if ratio >= 1 else _SLOWER
            )
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [place, place], color="black", linewidth=1)
            axes.annotate(
                f"{ratio:.2f}  {row.reference}",
                (max(ratio, row.high or ratio, 1), place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
            )
        axes.axvline(1, color="black", linewidth=1)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        _make_room(axes, max((len(row.reference) for row in shown), default=0) + 7)
        axes.set_xlabel("ratio to the reference; > 1: ours is faster or smaller")

    # A case is named once, at the first of its references.
    labels = [
        "" if place and shown[place - 1].case == row.case else row.case
        for place, row in enumerate(shown)
    ]
    _write(path, title, labels, draw)


def _make_room(axes: Axes, num_letters: int) -> None:
    """Lengthen a logarithmic axis by the text behind its bars."""
    left, right = axes.get_xlim()
    share = min(0.6, _INCHES_PER_LETTER * num_letters / _AXES_INCHES)
    axes.set_xlim(left, left * (right / left) ** (1 / (1 - share)))


def write_profile_figure(profile: StepProfile, path: Path, title: str) -> None:
    """Write the parts of a training step as a PNG file.

    Args:
        profile: gives the parts.
        path: of the file.
        title: over the bars.
    """
    parts, shares = profile.parts(), profile.shares()

    def draw(axes: Axes) -> None:
        bars = axes.barh(
            range(len(parts)), [1e3 * s for s in parts.values()], height=0.7, color=_NEUTRAL
        )
        texts = [f"{1e3 * s:.1f} ms, {shares[part]:.1%}" for part, s in parts.items()]
        axes.bar_label(bars, texts, padding=4)
        axes.margins(x=0.25)
        axes.set_xlabel(f"milliseconds of a step of {profile.num_clips} clips")

    _write(path, title, list(parts), draw)


def _write(
    path: Path,
    title: str,
    labels: Sequence[str],
    draw: Callable[[Axes], None],
) -> None:
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(10, 1.2 + _INCHES_PER_BAR * len(labels)), layout="constrained")
        axes = figure.subplots()
        draw(axes)
        axes.set_yticks(range(len(labels)), labels)
        # The first line of the table on top.
        axes.set_ylim(len(labels) - 0.4, -0.6)
        figure.suptitle(title)
        draft = path.with_name(f".{path.name}.draft")
        figure.savefig(draft, format="png", dpi=150)
    draft.replace(path)
