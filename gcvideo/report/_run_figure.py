"""Figures of scores: learning curves, confusion matrices, reliability."""

from collections.abc import Iterable, Sequence
from unicodedata import east_asian_width

import matplotlib
import numpy as np
from jaxtyping import Int64
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from gcvideo.evaluation import Calibration, normalized_by_class
from gcvideo.report._figure import SETTINGS, SIZE, NamedFigure, shortened, style_of
from gcvideo.report._run_result import History

MAX_LABELLED = 25  # classes of a matrix whose names can be read
_CELL, _NAMES = 0.34, 2.2  # inches of a cell, and of names and scale


def history_figure(history: History, keys: Sequence[str], label: str) -> NamedFigure | None:
    """Metrics of training and validation over epochs; None if there is none of them."""
    present = [key for key in keys if history.get(key)]
    if not present:
        return None

    @matplotlib.rc_context(SETTINGS)
    def draw(_: bool) -> Figure:
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        for rank, key in enumerate(present):
            epochs, values = zip(*history[key], strict=True)
            look, is_long = style_of(rank)._asdict(), len(epochs) > 30
            look |= {"marker": ""} if is_long else {}
            axes.plot(epochs, values, label=key.partition("/")[0], linewidth=2, **look)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.legend()
        return figure

    return NamedFigure(f"{label[0].upper()}{label[1:]} over epochs", SIZE[0], draw)


def matrix_figure(
    counts: Int64[Tensor, "k k"], classes: Sequence[str], chosen: Sequence[int], caption: str
) -> NamedFigure:
    """Part of a confusion matrix: colours are shares of the true class, numbers are videos.

    Args:
        counts: the whole matrix, a row per true class.
        classes: names in label order.
        chosen: classes of the part; more than ``MAX_LABELLED`` are drawn without names and numbers.
        caption: title of the figure.
    """
    shares = normalized_by_class(counts).numpy()[np.ix_(chosen, chosen)]
    numbers = counts.numpy()[np.ix_(chosen, chosen)]
    is_labelled = len(chosen) <= MAX_LABELLED
    browser_names, plain_names = (
        [shortened(classes[label], is_limited, f"class {label}") for label in chosen if is_labelled]
        for is_limited in (False, True)
    )
    width = max(_CELL * len(chosen) if is_labelled else 4.6, 1.4) + _NAMES

    @matplotlib.rc_context({**SETTINGS, "font.size": 10, "axes.grid": False})
    def draw(is_limited: bool) -> Figure:
        names = plain_names if is_limited else browser_names
        margin = 0 if is_limited else _unmeasured(names) / width
        layout = ConstrainedLayoutEngine(rect=(margin, margin, 1 - margin, 1 - margin))
        figure = Figure(figsize=(width, width - 0.8), layout=layout)
        axes = figure.subplots()
        # Of rare confusions a trace is left to see.
        colors = matplotlib.colormaps["Blues"].with_extremes(bad="#dddddd")
        image = axes.imshow(shares, cmap=colors, norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
        figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true class")
        axes.set(xlabel="answer", ylabel="true class")
        if is_labelled:
            places = range(len(chosen))
            axes.set_xticks(places, names, rotation=90, parse_math=False)
            axes.set_yticks(places, names, parse_math=False)
            for i, j in np.argwhere(numbers).tolist():
                color = "white" if shares[i, j] > 0.4 else "black"
                size = 9 if numbers[i, j] < 1000 else 6
                text = axes.text(j, i, str(numbers[i, j]), color=color, fontsize=size)
                text.set(
                    ha="center", va="center", in_layout=False
                )  # inside the axes: saves its measuring
        return figure

    has_all_letters = browser_names == plain_names
    return NamedFigure(caption, width, draw, has_all_letters=has_all_letters)


def reliability_figure(found: Calibration) -> NamedFigure:
    """Accuracy against confidence by bins, with the number of videos in each below."""

    @matplotlib.rc_context(SETTINGS)
    def draw(_: bool) -> Figure:
        figure = Figure(figsize=(SIZE[0], 4.6), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        edges = np.linspace(0, 1, len(found.num_videos) + 1)
        centres, width = (edges[1:] + edges[:-1]) / 2, 1 / len(found.num_videos)
        above.plot([0, 1], [0, 1], color="#333333", linestyle="--", linewidth=1.5, zorder=3)
        bars = {"width": width, "edgecolor": "white", "color": style_of(1).color}
        above.bar(centres, np.nan_to_num(found.accuracy.numpy()), **bars)
        above.plot(
            found.confidence.numpy(),
            found.accuracy.numpy(),
            "o",
            color=style_of(2).color,
            markersize=6,
        )
        above.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
        below.bar(centres, found.num_videos.numpy(), **bars)
        below.set(xlabel="confidence", ylabel="videos")
        below.yaxis.set_major_locator(MaxNLocator(nbins=2, integer=True))
        return figure

    return NamedFigure("Reliability", SIZE[0], draw)


def _unmeasured(names: Iterable[str]) -> float:
    """Inches by which wide letters exceed what Matplotlib takes for letters that it lacks."""
    wide = (sum(east_asian_width(letter) in "WF" for letter in name) for name in names)
    return max(wide, default=0) * 0.45 * 10 / 72
