"""Plots of a comparison as SVG elements; names stand in the page, whose fonts have every script."""

import io
import math
import re
from collections.abc import Callable
from html import escape
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gcvideo.comparison._paired_difference import SeedValues
from gcvideo.comparison._results import Comparison, CurvePoint, VariantResult


class Style(NamedTuple):
    """The look of a variant in all plots, in words of Matplotlib."""

    color: str
    marker: str
    linestyle: str


_LINE: dict[str, Any] = {"linewidth": 2, "markeredgecolor": "white"}
# Okabe and Ito's colours, which colour-blind readers can tell apart, without yellow: too pale on white.
_BASELINE = Style("#000000", "o", "-")
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MARKERS = "sD^vPX*"
_LINES = ("-", "--", "-.", ":")


def variant_styles(comparison: Comparison) -> dict[str, Style]:
    """A style per variant: black and round for the baseline, and different ones for up to 42 others."""
    others = [v.name for v in comparison.variants if v.name != comparison.baseline]
    return {name: style_of(rank) for rank, name in enumerate([comparison.baseline, *others])}


def style_of(rank: int) -> Style:
    """The look of the baseline, which has rank 0, or of another variant."""
    if rank == 0:
        return _BASELINE
    index = rank - 1
    return Style(
        _COLORS[index % len(_COLORS)],
        _MARKERS[index % len(_MARKERS)],
        _LINES[index // len(_COLORS) % len(_LINES)],
    )


# As wide as a phone, so that letters keep their size there.
SIZE = (5.0, 3.6)
SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 15,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}


@matplotlib.rc_context(SETTINGS)
def accuracy_figure(
    comparison: Comparison, cost: Callable[[VariantResult], float | None], cost_label: str
) -> str | None:
    """Top-1 accuracy, with its spread over seeds, against a cost; None if no variant has both."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axes, styles = figure.subplots(), variant_styles(comparison)
    for variant in comparison.variants:
        top1, x = variant.top_k(1), cost(variant)
        if top1.mean is None or x is None:
            continue
        style = styles[variant.name]
        axes.errorbar(
            x,
            100 * top1.mean,
            yerr=None if top1.spread is None else 100 * top1.spread,
            color=style.color,
            marker=style.marker,
            markersize=9,
            markeredgecolor="white",
            capsize=5,
            linestyle="none",
        )
    axes.margins(0.12)
    axes.set(xlabel=cost_label, ylabel="top-1 (%)")
    return inline_svg(figure, f"top-1 accuracy against {cost_label}") if axes.has_data() else None


@matplotlib.rc_context(SETTINGS)
def curve_figure(
    comparison: Comparison, value: Callable[[CurvePoint], float | None], label: str
) -> str | None:
    """A value over epochs, mean over seeds with a band of its spread; None if nothing was measured."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axes, styles = figure.subplots(), variant_styles(comparison)
    for variant in comparison.variants:
        points: dict[int, dict[int, float]] = {}
        for cell in variant.cells:
            for point in cell.curve:
                measured = value(point)
                # A diverged epoch has no place in a plot.
                if measured is not None and math.isfinite(measured):
                    points.setdefault(point.epoch, {})[cell.seed] = measured
        if not points:
            continue
        epochs, values = zip(*sorted(points.items()), strict=True)
        means = np.array([SeedValues(by_seed).mean or 0.0 for by_seed in values])
        spreads = np.array([SeedValues(by_seed).spread or 0.0 for by_seed in values])
        style = styles[variant.name]
        line = style._asdict() | _LINE
        axes.plot(epochs, means, **line, markevery=max(1, len(epochs) // 5))
        band = {"color": style.color, "alpha": 0.15, "linewidth": 0}
        axes.fill_between(epochs, means - spreads, means + spreads, **band)
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    return inline_svg(figure, f"{label} over epochs") if axes.has_data() else None


def marker_figure(style: Style) -> str:
    """The marker and line of a variant, as long as a word, to stand next to its name."""
    figure = Figure(figsize=(0.6, 0.22))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    line = style._asdict() | _LINE
    axes.plot([0, 1, 2], [0, 0, 0], **line, markersize=9, markevery=[1], clip_on=False)
    return inline_svg(figure)


def inline_svg(figure: Figure, title: str = "") -> str:
    """The svg element alone, as wide as its place, without anything that affects the rest of the page."""
    file = io.StringIO()
    # Ids in the file are hashes: with a salt per plot, none occurs twice in a page.
    with matplotlib.rc_context({"svg.hashsalt": f"gcvideo {title}", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    role = f'role="img" aria-label="{escape(title)}"' if title else 'aria-hidden="true"'
    return re.sub(r'<svg\b(.*?) width="[^"]*"', rf"<svg {role}\1", svg, count=1, flags=re.DOTALL)
