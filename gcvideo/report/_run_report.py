"""The report of a run: one page that needs nothing else, and its tables and figures as files."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from gcvideo._draft import draft_of
from gcvideo.evaluation import most_confused_classes
from gcvideo.report._class_table import bin_table, class_bars, pair_table, write_tables
from gcvideo.report._data_summary import data_table
from gcvideo.report._figure import NamedFigure, figure_element, figure_pixels, write_figures
from gcvideo.report._gallery import (
    ShownVideo,
    gallery,
    gallery_sheet,
    read_shown,
    surest_mistakes,
    worst_videos,
)
from gcvideo.report._page import listed, page, paragraphs, scrolling_table
from gcvideo.report._run_figure import (
    MAX_LABELLED,
    history_figure,
    matrix_figure,
    reliability_figure,
)
from gcvideo.report._run_result import RunResult

_CURVES = ("loss", "top1")
_NUM_PART = 20  # classes of the most confused part
_NO_SCORES = (
    "<p>There are no scores, so there is nothing to show. This is so for a run that was resumed after its "
    "last validation from a checkpoint of an older version.</p>"
)
_CALIBRATION = (
    "The confidence of an answer is its score. Answers are put into {bins} bins of equal width by their "
    "confidence; the expected calibration error is the mean over all answers of |accuracy - confidence| of "
    "their bins (Guo et al., 2017): {error:.4f}. In the plot, bars are accuracies, dots stand at the mean "
    "confidence, and a calibrated net lies on the dashed line. Bins with few videos say little."
)


def write_run_report(
    result: RunResult,
    folder: str | Path,
    *,
    formats: Iterable[str] = ("png", "svg"),
    log_picture: Callable[[str, UInt8[np.ndarray, "h w 3"]], None] | None = None,
) -> None:
    """Write ``report.html``, and below ``report/`` the tables as CSV and the figures.

    Only the videos of the gallery are decoded, in their centre view. A video of it that cannot be read
    is named in its place.

    Args:
        result: scores of a test, or of the last validation of a training.
        folder: place of the files, usually the run folder.
        formats: formats of the figures: "png", "svg", "pdf".
        log_picture: another log, which is given the name and the pixels of each figure of the scores and of
            a sheet of each gallery; None: there is none.
    """
    folder = Path(folder)
    files = folder / "report"
    files.mkdir(parents=True, exist_ok=True)
    figures, galleries = _figures(result), _galleries(result)
    write_tables(result, files)
    write_figures(figures, files, formats)
    with draft_of(folder / "report.html") as draft:
        # Names of classes are names of folders, which need not be UTF-8.
        text = page(result.title, "\n".join(_sections(result, figures, galleries)))
        draft.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    if log_picture is not None:
        for name, pixels in _pictures(result, figures, galleries):
            log_picture(name, pixels)


def _pictures(
    result: RunResult,
    figures: Mapping[str, NamedFigure],
    galleries: Mapping[str, Sequence[ShownVideo]],
) -> Iterator[tuple[str, UInt8[np.ndarray, "h w 3"]]]:
    for name, figure in figures.items():
        if name not in _CURVES:
            yield name, figure_pixels(figure)
    for name, videos in galleries.items():
        sheet = gallery_sheet(result, videos)
        if sheet is not None:
            yield name, np.array(sheet)


def _figures(result: RunResult) -> dict[str, NamedFigure]:
    history, counts = result.history or {}, result.counts
    num_classes = len(result.classes)
    found = {
        "loss": history_figure(history, ("train/loss_epoch", "val/loss"), "loss"),
        "top1": history_figure(history, ("train/top1_epoch", "val/top1"), "top-1 accuracy"),
    }
    if result.has_scores:
        caption = f"Confusion of {num_classes} classes"
        found["confusion"] = matrix_figure(counts, result.classes, range(num_classes), caption)
        part = most_confused_classes(counts, _NUM_PART)
        if num_classes > MAX_LABELLED and part:
            caption = f"The {len(part)} classes of the most frequent mistakes"
            found["confusion_part"] = matrix_figure(counts, result.classes, part, caption)
    if result.calibration is not None:
        found["reliability"] = reliability_figure(result.calibration)
    return {name: figure for name, figure in found.items() if figure is not None}


def _galleries(result: RunResult) -> dict[str, list[ShownVideo]]:
    if not result.has_scores:
        return {"worst_videos": [], "surest_mistakes": []}
    worst = worst_videos(result)
    return {
        "worst_videos": read_shown(result, worst),
        "surest_mistakes": read_shown(result, surest_mistakes(result, worst)),
    }


def _sections(
    result: RunResult,
    figures: Mapping[str, NamedFigure],
    galleries: Mapping[str, Sequence[ShownVideo]],
) -> Iterator[str]:
    is_whole = len(result.classes) > MAX_LABELLED
    sized = {"confusion_part"} if is_whole else {"confusion"}
    drawn = {
        name: figure_element(figure, is_sized=name in sized) for name, figure in figures.items()
    }
    yield "<h2>Result</h2>" + _facts(result.figures_of_merit) + _not_finite(result)
    if result.history is not None:
        curves = "".join(drawn[name] for name in _CURVES if name in drawn)
        told = f'<div class="plots">{curves}</div>' if curves else "<p>None was recorded.</p>"
        yield f"<h2>Learning curves</h2>{told}"
    yield "<h2>Confusion</h2>" + (_confusion(result, drawn) if result.has_scores else _NO_SCORES)
    yield "<h2>Classes</h2>" + (class_bars(result) if result.has_scores else _NO_SCORES)
    yield "<h2>Calibration</h2>" + _calibration(result, drawn)
    about = "The wrong answers whose true class is least probable."
    yield _videos("Worst videos", about, result, galleries["worst_videos"])
    about = "The wrong answers with the highest scores, but for those above."
    yield _videos("Surest mistakes", about, result, galleries["surest_mistakes"])
    yield (
        "<h2>Data</h2>"
        + scrolling_table(data_table(result.splits), "data")
        + "<p>Durations, rates and sizes are those of up to 40 videos, evenly spaced over each list.</p>"
        + listed(result.left_out)
    )
    yield (
        f"<h2>How it was made</h2>{_facts(result.facts)}<details><summary>config.yaml</summary>"
        f"<pre>{escape(result.recipe)}</pre></details>\n"
    )


def _confusion(result: RunResult, drawn: Mapping[str, str]) -> str:
    text = "Rows are true classes, columns are answers. Numbers are videos, colours their share of the class."
    if "confusion_part" in drawn or len(result.classes) > MAX_LABELLED:
        text = (
            "Rows are true classes, columns are answers, colours the share of the class. "
            f"{len(result.classes)} names would not be legible, so the whole matrix has none; the part with "
            "names has the classes of the most frequent mistakes, and its rows leave out answers outside it. "
            "report/confusion.csv has all numbers."
        )
        # It may shrink, as it has nothing to read.
        drawn = {**drawn, "confusion": f'<div class="whole">{drawn["confusion"]}</div>'}
    matrices = "".join(drawn[name] for name in ("confusion", "confusion_part") if name in drawn)
    table = pair_table(result)
    pairs = scrolling_table(table, "confused pairs") if table.rows else "<p>No answer is wrong.</p>"
    return f"<p>{text}</p>{matrices}<h3>Most confused pairs</h3>{pairs}"


def _calibration(result: RunResult, drawn: Mapping[str, str]) -> str:
    found = result.calibration
    if found is None:
        return _NO_SCORES
    text = _CALIBRATION.format(bins=len(found.num_videos), error=found.error)
    table = scrolling_table(bin_table(found), "calibration")
    return f'<p>{text}</p><div class="plots">{drawn["reliability"]}{table}</div>'


def _videos(heading: str, about: str, result: RunResult, videos: Sequence[ShownVideo]) -> str:
    shown = gallery(result, videos) if videos else "<p>There is none.</p>"
    return f"<h2>{heading}</h2><p>{about} Scores are in brackets.</p>{shown}"


def _not_finite(result: RunResult) -> str:
    bad = (~result.is_finite).nonzero().flatten().tolist()
    if not bad:
        return ""
    shown = [result.path(place) for place in bad[:10]] + ["..."] * (len(bad) > 10)
    told = (
        f"{len(bad)} of {len(result.labels)} videos have scores that are not finite numbers. They are left "
        "out of confusion, classes, calibration and videos; the accuracies above count them as wrong. "
        "Find out why the net does not compute numbers."
    )
    return f'<div class="missing">{paragraphs([told])}{listed(shown)}</div>'


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items()
    )
    return f'<dl class="facts">{rows}</dl>'
