"""The report of a comparison: two tables, and one page without scripts or external files."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import torch

from gcvideo._draft import draft_of
from gcvideo.comparison._outcome import describe_baseline, describe_difference, describe_test
from gcvideo.comparison._results import Comparison, CurvePoint
from gcvideo.comparison._table import (
    DASH,
    LEGEND,
    Table,
    comparison_table,
    csv_table,
    latex_table,
    markdown_table,
    mean_and_spread,
    percent,
    percent_decimals,
    seed_table,
)
from gcvideo.report._comparison_answers import (
    answer_figures,
    calibration_section,
    confusion_section,
    write_answer_tables,
)
from gcvideo.report._comparison_figure import (
    accuracy_figure,
    curve_figure,
    marker_figure,
    variant_styles,
)
from gcvideo.report._figure import NamedFigure, figure_element, write_figures
from gcvideo.report._page import filled, listed, page, paragraphs, scrolling, scrolling_table

_MAX_CLASSES = 20
_PRINTED_BARS = 4  # that fit beside each other on upright paper
_PROBES = (
    "Top-1 accuracy of the same weights when the frames of each test clip are perturbed. What a "
    "variant loses against its own top-1 is what it draws from the order or motion of the frames."
)
_MISSING = "<h2>Missing cells</h2><p>The comparison is not complete; all numbers may change.</p>"


def write_comparison_report(
    comparison: Comparison, folder: str | Path, *, formats: Iterable[str] = ("png", "svg")
) -> None:
    """Write ``table.csv``, ``table.md``, ``table.tex`` and ``report.html``, a page that needs nothing else.

    The folder ``report`` beside it gets the answers of each variant as CSV files, and the figures. Equal
    comparisons give equal bytes. Files of an earlier report are replaced once the new ones are
    complete.

    Args:
        comparison: results, finished or not; the report names what is missing.
        folder: place of the files; created if needed.
        formats: formats of the figures: "png", "svg", "pdf".
    """
    folder = Path(folder)
    files = folder / "report"
    files.mkdir(parents=True, exist_ok=True)
    answers = answer_figures(comparison)
    contents = {
        "table.csv": csv_table(comparison),
        "table.md": markdown_table(comparison),
        "table.tex": latex_table(comparison),
        "report.html": report_page(comparison, answers),
    }
    for name, text in contents.items():
        with draft_of(folder / name) as draft:
            # Names of classes are names of folders, which need not be UTF-8.
            draft.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    write_answer_tables(comparison, files)
    plots = _plot_figures(comparison, has_names=True).items()
    measured = {name: figure for name, figure in plots if figure is not None}
    write_figures(measured | answers, files, formats)


def report_page(comparison: Comparison, answers: Mapping[str, NamedFigure]) -> str:
    """The report as one HTML file, for desktop and phone, online or not, with :func:`answer_figures`."""
    others = [v.name for v in comparison.variants if v.name != comparison.baseline]
    missing = comparison.missing
    body = filled(
        "comparison.html",
        outcome=paragraphs([describe_baseline(comparison)])
        + listed(describe_difference(comparison, name) for name in others)
        + paragraphs([describe_test(comparison)]),
        missing=f'<div class="missing">{_MISSING}{listed(missing)}</div>' if missing else "",
        table=scrolling_table(comparison_table(comparison), "comparison") + paragraphs(LEGEND),
        plots=_plots(comparison),
        classes=_class_gains(comparison),
        confusion=confusion_section(comparison, answers),
        calibration=calibration_section(comparison, answers),
        probes=_probes(comparison),
        seeds=scrolling_table(seed_table(comparison), "seeds"),
        making=_making(comparison),
        baseline=escape(comparison.baseline),
        number=len(comparison.differences),
    )
    return page(comparison.title, body)


def _plot_figures(comparison: Comparison, *, has_names: bool) -> dict[str, NamedFigure | None]:
    def val_percent(point: CurvePoint) -> float | None:
        return None if point.val_top1 is None else 100 * point.val_top1

    return {
        "accuracy_macs": accuracy_figure(
            comparison, lambda v: v.macs / 1e9, "MACs per view (G)", has_names=has_names
        ),
        "accuracy_time": accuracy_figure(
            comparison, lambda v: v.ms_per_clip, "inference (ms per clip)", has_names=has_names
        ),
        "loss": curve_figure(
            comparison, lambda p: p.train_loss, "training loss", has_names=has_names
        ),
        "val_top1": curve_figure(
            comparison, val_percent, "validation top-1 (%)", has_names=has_names
        ),
    }


_ABSENT = {
    "accuracy_macs": "accuracy against MACs",
    "accuracy_time": "accuracy against time",
    "loss": "training loss",
    "val_top1": "validation accuracy",
}


def _plots(comparison: Comparison) -> str:
    figures = _plot_figures(comparison, has_names=False)
    names = "".join(
        f"<li>{marker_figure(style)}{escape(name)}</li>"
        for name, style in variant_styles(comparison).items()
    )
    drawn = "\n".join(figure_element(figure) for figure in figures.values() if figure is not None)
    absent = [_ABSENT[name] for name, figure in figures.items() if figure is None]
    note = f"<p>Not measured: {', '.join(absent)}.</p>" if absent else ""
    return f'<ul class="names">{names}</ul>\n<div class="plots">\n{drawn}\n</div>\n{note}'


def _class_gains(comparison: Comparison) -> str:
    """A row per class and a bar per variant; of many classes, those that change most come first."""
    gains = {name: comparison.class_gains(name).tolist() for name in comparison.differences}
    if not gains:
        return "<p>No variant shares a seed with the baseline yet.</p>"
    changes = [
        max((abs(gain) for gain in row if not math.isnan(gain)), default=0.0)
        for row in zip(*gains.values(), strict=True)
    ]
    decimals, styles = percent_decimals(comparison), variant_styles(comparison)
    largest = max(changes) or 1.0
    labels = comparison.variant(comparison.baseline).cells[0].labels
    counts = torch.bincount(labels, minlength=len(changes)).tolist()

    def element(names: Sequence[str], chosen: Iterable[int]) -> str:
        rows = (
            f'<tr><th scope="row">{escape(comparison.classes[label])} ({counts[label]})</th>'
            + "".join(
                _bar(gains[name][label], largest, decimals, styles[name].color) for name in names
            )
            + "</tr>"
            for label in chosen
        )
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("class", *names))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"

    def table(chosen: Sequence[int]) -> str:
        names = list(gains)
        parts = [names[i : i + _PRINTED_BARS] for i in range(0, len(names), _PRINTED_BARS)]
        return scrolling(
            element(names, chosen),
            "gain and loss by class",
            [element(part, chosen) for part in parts],
        )

    intro = (
        f"<p>Points of accuracy gained (to the right) and lost (to the left) against "
        f"{escape(comparison.baseline)}, mean over seeds; in brackets the number of test videos. In a "
        "class of few videos, chance alone makes large differences.</p>"
    )
    everything = range(len(changes))
    if len(changes) <= _MAX_CLASSES:
        return intro + table(everything)
    most = sorted(everything, key=lambda label: -changes[label])[:_MAX_CLASSES]
    return (
        f"{intro}<p>The {_MAX_CLASSES} classes that change most, of {len(changes)}.</p>"
        f"{table(most)}"
        f"<details><summary>All {len(changes)} classes</summary>{table(everything)}</details>"
    )


def _bar(gain: float, largest: float, decimals: int, color: str) -> str:
    side = "gain" if gain > 0 else "loss"
    style = f"width:{50 * abs(gain / largest):.2f}%;background:{color}"
    bar = f'<i class="{side}" style="{style}"></i>' if abs(gain) > 0 else ""  # not of NaN
    return f'<td>{percent(gain, decimals, signed=True)}<div class="bar">{bar}</div></td>'


def _probes(comparison: Comparison) -> str:
    if not comparison.probes:
        return "<p>None was made.</p>"
    decimals = percent_decimals(comparison)
    rows = tuple(
        (
            variant.name,
            mean_and_spread(variant.top_k(1), decimals),
            *(mean_and_spread(variant.probe(name), decimals) for name in comparison.probes),
        )
        for variant in comparison.variants
    )
    header = ("variant", "as they are (%)", *(f"{name} (%)" for name in comparison.probes))
    return f"<p>{_PROBES}</p>{scrolling_table(Table(header, rows), 'probes')}"


def _making(comparison: Comparison) -> str:
    facts = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in comparison.facts.items()
    )
    keys = dict.fromkeys(key for variant in comparison.variants for key in variant.settings)
    rows = (
        (variant.name, *(variant.settings.get(key, DASH) for key in keys))
        for variant in comparison.variants
    )
    done = "" if comparison.missing else "<p>No cell is missing.</p>"
    table = scrolling_table(Table(("variant", *keys), tuple(rows)), "settings")
    return f"<dl>{facts}</dl>{table}{done}"
