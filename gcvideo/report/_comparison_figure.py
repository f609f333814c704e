"""Figures of a comparison: accuracy against cost, learning curves, reliability."""

import math
from collections.abc import Callable, Collection
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from gcvideo.comparison._paired_difference import SeedValues
from gcvideo.comparison._results import Comparison, CurvePoint, VariantResult
from gcvideo.report._figure import (
    SETTINGS,
    SIZE,
    NamedFigure,
    Style,
    inline_svg,
    shortened,
    style_of,
)

_LINE: dict[str, Any] = {"linewidth": 2, "markeredgecolor": "white"}
_ROW = 0.26  # inches of two names in a legend


def variant_styles(comparison: Comparison) -> dict[str, Style]:
    """A style per variant: black and round for the baseline, and different ones for up to 42 others."""
    others = [v.name for v in comparison.variants if v.name != comparison.baseline]
    return {name: style_of(rank) for rank, name in enumerate([comparison.baseline, *others])}


def accuracy_figure(
    comparison: Comparison,
    cost: Callable[[VariantResult], float | None],
    cost_label: str,
    *,
    has_names: bool = False,
) -> NamedFigure | None:
    """Top-1 accuracy, with its spread over seeds, against a cost; None if no variant has both.

    Args:
        comparison: results.
        cost: of a variant.
        cost_label: what it is, with its unit.
        has_names: whether the names of the variants stand in the figure, as a file needs them; in a page
            they stand once, beside all figures, in fonts that have every script.
    """
    points: dict[str, tuple[float, SeedValues]] = {}
    for variant in comparison.variants:
        x, top1 = cost(variant), variant.top_k(1)
        if x is not None and top1.mean is not None:
            points[variant.name] = x, top1

    def draw(axes: Axes, name: str, style: Style) -> None:
        x, top1 = points[name]
        axes.errorbar(
            x,
            100 * (top1.mean or 0.0),
            yerr=None if top1.spread is None else 100 * top1.spread,
            color=style.color,
            marker=style.marker,
            markersize=9,
            markeredgecolor="white",
            capsize=5,
            linestyle="none",
        )
        axes.margins(0.12)

    caption, labels = f"Accuracy against {cost_label}", (cost_label, "top-1 (%)")
    return _figure(comparison, points, draw, caption, labels, has_names=has_names)


def curve_figure(
    comparison: Comparison,
    value: Callable[[CurvePoint], float | None],
    label: str,
    *,
    has_names: bool = False,
) -> NamedFigure | None:
    """A value over epochs, mean over seeds with a band of its spread; None if nothing was measured.

    Args:
        comparison: results.
        value: of a point; those that are not finite are left out.
        label: what it is, with its unit.
        has_names: as for :func:`accuracy_figure`.
    """
    curves: dict[str, dict[int, dict[int, float]]] = {}
    for variant in comparison.variants:
        for cell in variant.cells:
            for point in cell.curve:
                measured = value(point)
                # A diverged epoch has no place in a plot.
                if measured is not None and math.isfinite(measured):
                    points = curves.setdefault(variant.name, {})
                    points.setdefault(point.epoch, {})[cell.seed] = measured

    def draw(axes: Axes, name: str, style: Style) -> None:
        epochs, values = zip(*sorted(curves[name].items()), strict=True)
        means = np.array([SeedValues(by_seed).mean or 0.0 for by_seed in values])
        spreads = np.array([SeedValues(by_seed).spread or 0.0 for by_seed in values])
        axes.plot(epochs, means, **style._asdict(), **_LINE, markevery=max(1, len(epochs) // 5))
        band = {"color": style.color, "alpha": 0.15, "linewidth": 0}
        axes.fill_between(epochs, means - spreads, means + spreads, **band)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))

    caption = f"{label[0].upper()}{label[1:]} over epochs"
    return _figure(comparison, curves, draw, caption, ("epoch", label), has_names=has_names)


def variant_reliability_figure(
    comparison: Comparison, *, has_names: bool = False
) -> NamedFigure | None:
    """Accuracy against confidence by bins, seeds pooled; the larger a marker, the more videos in its bin."""
    found = {v.name: v.pooled_calibration for v in comparison.variants if v.cells}

    def draw(axes: Axes, name: str, style: Style) -> None:
        confidence, accuracy = found[name].confidence.numpy(), found[name].accuracy.numpy()
        num_videos = found[name].num_videos.numpy()
        is_used = num_videos > 0
        xy = confidence[is_used], accuracy[is_used]
        axes.plot(*xy, color=style.color, linestyle=style.linestyle, linewidth=1.5)
        sizes = 15 + 250 * num_videos[is_used] / num_videos.sum()
        look: dict[str, Any] = {"c": style.color, "marker": style.marker, "edgecolors": "white"}
        axes.scatter(*xy, s=sizes, zorder=3, **look)
        axes.plot([0, 1], [0, 1], color="#999999", linestyle=":", linewidth=1, zorder=0)
        axes.set(xlim=(0, 1), ylim=(0, 1))

    caption, labels = "Accuracy of answers by their confidence", ("confidence", "accuracy")
    return _figure(comparison, found, draw, caption, labels, has_names=has_names)


def marker_figure(style: Style) -> str:
    """The marker and line of a variant, as long as a word, to stand next to its name."""
    figure = Figure(figsize=(0.6, 0.22))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    line = style._asdict() | _LINE
    axes.plot([0, 1, 2], [0, 0, 0], **line, markersize=9, markevery=[1], clip_on=False)
    return inline_svg(figure)


def _figure(
    comparison: Comparison,
    drawn: Collection[str],
    draw: Callable[[Axes, str, Style], None],
    caption: str,
    labels: tuple[str, str],
    *,
    has_names: bool,
) -> NamedFigure | None:
    if not drawn:
        return None
    styles = {name: s for name, s in variant_styles(comparison).items() if name in drawn}
    browser_names, plain_names = (
        [shortened(name, is_limited, f"variant {rank}") for rank, name in enumerate(styles)]
        for is_limited in (False, True)
    )

    @matplotlib.rc_context(SETTINGS)
    def draw_all(is_limited: bool) -> Figure:
        height = SIZE[1] + _ROW * math.ceil(len(styles) / 2) * has_names
        figure = Figure(figsize=(SIZE[0], height), layout="constrained")
        axes = figure.subplots()
        for name, style in styles.items():
            draw(axes, name, style)
        axes.set(xlabel=labels[0], ylabel=labels[1])
        if has_names:
            lines = [Line2D([], [], **style._asdict(), **_LINE) for style in styles.values()]
            names = plain_names if is_limited else browser_names
            place: dict[str, Any] = {"loc": "outside lower center", "ncols": 2}
            legend = figure.legend(lines, names, fontsize=11, frameon=False, **place)
            for text in legend.get_texts():
                text.set_parse_math(False)
        return figure

    has_all_letters = not has_names or browser_names == plain_names
    return NamedFigure(caption, SIZE[0], draw_all, has_all_letters=has_all_letters)
