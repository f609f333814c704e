"""Histograms with round bins, as text and as a picture."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib.figure
import numpy as np
from jaxtyping import Float, Int
from matplotlib.ticker import Locator, LogLocator, MaxNLocator

from gcvideo._draft import draft_of

_MAX_ROWS = 12
_TAIL = 0.01  # share of the values at either end that do not stretch the bins
_WIDE = 50.0  # ratio of the others from which on bins grow with the values


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts with labels, one row per bin; the title names the quantity and its unit."""

    title: str
    labels: tuple[str, ...]
    counts: Int[np.ndarray, " b"]

    @classmethod
    def of_numbers(cls, title: str, values: Iterable[float]) -> "Histogram":
        """Numbers to two decimals, each in its own bin if they are few, else in :func:`bin_edges`."""
        numbers = np.round(np.array(list(values), dtype=np.float64), 2)
        distinct, counts = np.unique(numbers, return_counts=True)
        if len(distinct) <= _MAX_ROWS:
            return cls(title, tuple(f"{value:.10g}" for value in distinct), counts)
        edges = bin_edges(numbers)
        return cls(title, _bin_labels(edges), np.histogram(numbers, edges)[0])

    @classmethod
    def of_texts(cls, title: str, texts: Iterable[str]) -> "Histogram":
        """Texts, the most frequent first; rare ones are counted together."""
        ranked = sorted(Counter(texts).items(), key=lambda item: (-item[1], item[0]))
        if len(ranked) > _MAX_ROWS:
            rare = ranked[_MAX_ROWS - 1 :]
            others = f"{len(rare)} others", sum(count for _, count in rare)
            ranked = [*ranked[: _MAX_ROWS - 1], others]
        counts = np.array([count for _, count in ranked], dtype=np.int64)
        return cls(title, tuple(text for text, _ in ranked), counts)

    def text(self, width: int = 80) -> str:
        """Title, then a line per bin with its label, its count and a bar."""
        label_width = max(map(len, self.labels), default=0)
        count_width = len(str(self.counts.max(initial=0)))
        room = max(width - label_width - count_width - 6, 1)
        lines = [self.title]
        for label, count in zip(self.labels, self.counts.tolist(), strict=True):
            bar = "#" * math.ceil(room * count / self.counts.max())
            lines.append(f"  {label:>{label_width}}  {count:>{count_width}}  {bar}".rstrip())
        return "\n".join(lines)


def draw_histograms(histograms: Sequence[Histogram], path: Path) -> None:
    """Draw histograms with horizontal bars into a PNG, in two columns."""
    num_rows = math.ceil(len(histograms) / 2)
    figure = matplotlib.figure.Figure(figsize=(11, 3.6 * num_rows), layout="constrained")
    panels = figure.subplots(num_rows, 2, squeeze=False).ravel()
    for axes, histogram in zip(panels, histograms, strict=False):
        bars = axes.barh(range(len(histogram.labels)), histogram.counts, height=0.8)
        axes.bar_label(bars, [f"{count:,}" for count in histogram.counts], padding=3, fontsize=8)
        axes.set_yticks(range(len(histogram.labels)), histogram.labels, fontsize=9)
        # A single bar would fill the panel.
        axes.set_ylim(max(len(histogram.labels), 5) - 0.5, -0.5)
        axes.set_xlim(0, 1.15 * max(histogram.counts.max(initial=0), 1))
        axes.set_title(histogram.title, loc="left", fontsize=11, pad=10)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_visible(False)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    for axes in panels[len(histograms) :]:
        axes.set_visible(False)
    with draft_of(path) as draft:
        figure.savefig(draft, dpi=120)


def bin_edges(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " e"]:
    """Round edges, with the outermost hundredths of the values in bins of infinite width.

    The edges grow as 1, 2, 5, 10 if the values span orders of magnitude; otherwise they are equidistant.
    """
    low, high = np.quantile(values, [_TAIL, 1 - _TAIL], method="inverted_cdf").tolist()
    # The last edge must lie beyond the highest value.
    top = high + 0.01 * ((high - low) or abs(low) or 1)
    locators: list[Locator] = [MaxNLocator(_MAX_ROWS - 3, steps=[1, 2, 5, 10])]
    if low > 0 and high / low > _WIDE:
        locators = [LogLocator(subs=subs, numticks=99) for subs in ((1, 2, 5), (1, 3), (1,))]
    edges = np.empty(0)
    for locator in locators:
        ticks = np.round(locator.tick_values(low, top), 10)
        first, last = np.searchsorted(ticks, [low, high], side="right")
        edges = ticks[first - 1 : last + 1]
        if len(edges) < _MAX_ROWS:  # which leaves two bins for outliers
            break
    below = [-np.inf] if values.min() < edges[0] else []
    # The last bin of numpy.histogram includes its upper edge, unless the bin is infinite.
    above = [np.inf] if values.max() >= edges[-1] else []
    return np.array([*below, *edges, *above])


def _bin_labels(edges: Float[np.ndarray, " e"]) -> tuple[str, ...]:
    texts = [f"{edge:.10g}" for edge in edges]
    labels = [f"{start} - {end}" for start, end in pairwise(texts)]
    if np.isinf(edges[0]):
        labels[0] = f"< {texts[1]}"
    if np.isinf(edges[-1]):
        labels[-1] = f">= {texts[-2]}"
    return tuple(labels)
