"""The picture of what blocks are worth beside what they cost."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter
from speed_worth import Worth

from gcvideo.report._figure import style_of

_SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "svg.fonttype": "none",
}


def write_worth_figure(found: Sequence[Worth], path: Path, title: str) -> None:
    """Write top-1 against milliseconds per clip, a plot per stage: float32 hollow, a narrower type filled.

    Args:
        found: points; the first variant is the baseline.
        path: of the file, whose suffix decides between png and svg.
        title: over the plots.
    """
    variants = list(dict.fromkeys(point.variant for point in found))
    stages = list(dict.fromkeys(point.stage for point in found))
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(10, 4), layout="constrained")
        plots = figure.subplots(1, len(stages), sharey=True)
        for axes, stage in zip(plots, stages, strict=True):
            for point in found:
                if point.stage != stage:
                    continue
                color, marker, _ = style_of(variants.index(point.variant))
                is_narrow = point.dtype != "float32"
                spread = point.accuracy.spread
                axes.errorbar(
                    point.milliseconds,
                    100 * point.accuracy.mean,
                    yerr=None if spread is None else 100 * spread,
                    color=color,
                    marker=marker,
                    markersize=8,
                    markerfacecolor=color if is_narrow else "white",
                    linestyle="none",
                    elinewidth=1,
                    label=point.variant if point.dtype == found[-1].dtype else None,
                )
            types = ", ".join(dict.fromkeys(point.dtype for point in found))
            axes.set(xlabel=f"{stage}, ms per clip ({types})", xscale="log")
            # Powers of ten are too few over such a range, and as labels they run into each other.
            axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
            axes.xaxis.set_major_formatter(ScalarFormatter())
            axes.xaxis.set_minor_locator(NullLocator())
        plots[0].set_ylabel("top-1 (%)")
        plots[0].legend(frameon=False, fontsize=9)
        figure.suptitle(title)
        draft = path.with_name(f".draft.{path.name}")
        figure.savefig(draft, dpi=150)
    draft.replace(path)
