"""What the variants of a comparison answer, and how sure they are of it: confusion and calibration."""

import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from gcvideo.comparison._results import Comparison, VariantResult
from gcvideo.comparison._table import DASH, Table, mean_and_spread, percent
from gcvideo.data import write_table
from gcvideo.evaluation import most_confused_classes, most_confused_pairs
from gcvideo.report._class_table import calibration_bins, write_matrix
from gcvideo.report._comparison_figure import variant_reliability_figure
from gcvideo.report._figure import NamedFigure, figure_element
from gcvideo.report._page import scrolling_table
from gcvideo.report._run_figure import MAX_LABELLED, matrix_figure

_NUM_PART = 20  # classes of the most confused part
_NUM_PAIRS = 20
_MAX_MATRICES = 12  # in a page; files have all
_CONFUSION = (
    "Answers to the test videos, all seeds of a variant together. Rows are true classes, columns are answers, "
    "numbers are videos counted once per seed, colours their share of the class."
)
_CALIBRATION = (
    "The confidence of an answer is its score; the expected calibration error is the mean over all answers of "
    "|accuracy - confidence| of their bins, 15 of equal width (Guo et al., 2017). The table has it by net, "
    "as mean and spread over seeds, and of the answers of all seeds together, which the plot shows: a "
    "calibrated net lies on the dotted line, and the larger a marker, the more videos in its bin."
)


def answer_figures(comparison: Comparison) -> dict[str, NamedFigure]:
    """Reliability, and a confusion matrix per variant, by name of their files; none without a cell.

    Of many classes, the matrices have those that the variants confuse most, the same in all.
    """
    names, classes = file_names(comparison), comparison.classes
    finished = _finished(comparison)
    chosen = list(range(len(classes)))
    if len(classes) > MAX_LABELLED and finished:
        chosen = most_confused_classes(_total(comparison), _NUM_PART) or chosen
    reliability = variant_reliability_figure(comparison, has_names=True)
    return ({} if reliability is None else {"reliability": reliability}) | {
        f"confusion_{names[variant.name]}": matrix_figure(
            variant.counts, classes, chosen, f"Confusion of {variant.name}"
        )
        for variant in finished
    }


def confusion_section(comparison: Comparison, figures: Mapping[str, NamedFigure]) -> str:
    """Matrices, and the share of the most frequent mistakes of each variant."""
    matrices = [figure for name, figure in figures.items() if name.startswith("confusion")]
    if not matrices:
        return "<p>No cell is finished.</p>"
    num_classes, text = len(comparison.classes), _CONFUSION
    if num_classes > MAX_LABELLED:
        text += (
            f" The matrices have the classes of the most frequent mistakes, of {num_classes}, and their rows "
            "leave out answers outside them; report/confusion_VARIANT.csv has all numbers."
        )
    shown = matrices[:_MAX_MATRICES]
    if len(matrices) > len(shown):
        text += f" The first {len(shown)} variants are shown; the folder report has all {len(matrices)}."
    elements = "".join(figure_element(figure, is_sized=True) for figure in shown)
    table = confused_pair_table(comparison)
    pairs = scrolling_table(table, "confused pairs") if table.rows else "<p>No answer is wrong.</p>"
    return (
        f'<p>{escape(text)}</p><div class="matrices">{elements}</div><h3>Most confused pairs</h3>'
        "<p>The most frequent mistakes of each variant: their share of the videos of the class in %, all seeds "
        f"together.</p>{pairs}"
    )


def calibration_section(comparison: Comparison, figures: Mapping[str, NamedFigure]) -> str:
    """Calibration errors of all variants, and how accurate their answers are by confidence."""
    if "reliability" not in figures:
        return "<p>No cell is finished.</p>"
    table = scrolling_table(calibration_table(comparison), "calibration")
    return (
        f"<p>{escape(_CALIBRATION)}</p>"
        f'<div class="plots">{figure_element(figures["reliability"])}<div>{table}</div></div>'
    )


def confused_pair_table(comparison: Comparison) -> Table:
    """A row per pair of classes, those that are frequent over all variants first; a column per variant."""
    finished = _finished(comparison)
    num_each = max(3, _NUM_PAIRS // max(1, len(finished)))
    pairs = {
        (pair.label, pair.answer)
        for variant in finished
        for pair in most_confused_pairs(variant.counts, num_each)
    }
    total = _total(comparison)
    order = sorted(pairs, key=lambda pair: (-int(total[pair]), pair))
    rows = tuple(
        (
            f"{comparison.classes[label]} → {comparison.classes[answer]}",
            *(percent(_share(variant, label, answer), 1) for variant in finished),
        )
        for label, answer in order
    )
    return Table(("class → answer", *(variant.name for variant in finished)), rows)


def calibration_table(comparison: Comparison) -> Table:
    """A row per variant: errors of its nets and of all their answers, confidence and accuracy."""
    rows = []
    for variant in comparison.variants:
        cells = (DASH, DASH, DASH)
        if variant.cells:
            found = variant.pooled_calibration
            confidence = (found.confidence.nan_to_num() * found.num_videos).sum()
            shares = (found.error, float(confidence / found.num_videos.sum()))
            cells = *(percent(share, 1) for share in shares), percent(variant.top_k(1).mean, 1)
        rows.append((variant.name, mean_and_spread(variant.calibration_error(), 1), *cells))
    header = ("variant", "calibration error (%)", "all seeds together (%)", "mean confidence (%)")
    return Table((*header, "top-1 (%)"), tuple(rows))


def write_answer_tables(comparison: Comparison, folder: Path) -> None:
    """Write the matrix of each variant, all confused pairs and the bins of calibration as CSV files."""
    names, classes, finished = file_names(comparison), comparison.classes, _finished(comparison)
    for variant in finished:
        write_matrix(folder / f"confusion_{names[variant.name]}.csv", variant.counts, classes)
    pairs = (
        (variant.name, classes[p.label], classes[p.answer], p.num_videos, f"{p.share:.6g}")
        for variant in finished
        for p in most_confused_pairs(variant.counts, variant.counts.numel())
    )
    columns = ("variant", "true class", "answer", "videos", "share")
    write_table(folder / "confused_pairs.csv", columns, pairs)
    bins = (
        (variant.name, f"{a:.6g}", f"{b:.6g}", n, *(f"{v:.6g}" if n else "" for v in values))
        for variant in finished
        for (a, b), n, *values in calibration_bins(variant.pooled_calibration)
    )
    columns = ("variant", "from", "to", "videos", "confidence", "accuracy")
    write_table(folder / "calibration.csv", columns, bins)


def file_names(comparison: Comparison) -> dict[str, str]:
    """By name of a variant, the name in letters that file systems take; no two are the same."""
    found: dict[str, str] = {}
    for rank, variant in enumerate(comparison.variants):
        name = re.sub(r"[^\w+.-]", "-", variant.name.replace(" ", "_"))
        found[variant.name] = f"{name}_{rank}" if name in found.values() else name
    return found


def _finished(comparison: Comparison) -> list[VariantResult]:
    return [variant for variant in comparison.variants if variant.cells]


def _total(comparison: Comparison) -> Int64[Tensor, "k k"]:
    return torch.stack([variant.counts for variant in _finished(comparison)]).sum(0)


def _share(variant: VariantResult, label: int, answer: int) -> float | None:
    num_videos = int(variant.counts[label].sum())
    return int(variant.counts[label, answer]) / num_videos if num_videos else None
