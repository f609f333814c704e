"""What the report says of classes and of bins of confidence, for people and for programs."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from gcvideo.comparison._table import DASH, Table, percent
from gcvideo.data import write_table
from gcvideo.evaluation import Calibration, most_confused_pairs, normalized_by_class
from gcvideo.report._page import scrolling
from gcvideo.report._run_result import RunResult

MAX_CLASSES = 20
NUM_PAIRS = 20
_COLUMNS = ("class", "training videos", "videos", "right", "accuracy (%)", "most taken for")


class _ClassRow(NamedTuple):
    name: str
    num_train: int
    num_videos: int
    num_right: int
    taken_for: str  # the most frequent wrong answer, with its number of videos; empty without one

    @property
    def accuracy(self) -> float | None:
        return self.num_right / self.num_videos if self.num_videos else None


def class_bars(result: RunResult) -> str:
    """A row per class with a bar; of many classes, those with the lowest accuracy first."""
    rows = list(_class_rows(result))
    if len(rows) <= MAX_CLASSES:
        return _bars(rows)
    scored = [row for row in rows if row.num_videos]
    worst = sorted(scored, key=lambda row: (row.accuracy or 0, -row.num_videos))[:MAX_CLASSES]
    return (
        f"<p>The {len(worst)} classes with the lowest accuracy, of {len(rows)}.</p>{_bars(worst)}"
        f"<details><summary>All {len(rows)} classes</summary>{_bars(rows)}</details>"
    )


def pair_table(result: RunResult) -> Table:
    """The most frequent mistakes."""
    rows = tuple(
        (
            result.classes[pair.label],
            result.classes[pair.answer],
            str(pair.num_videos),
            percent(pair.share, 1),
        )
        for pair in most_confused_pairs(result.counts, NUM_PAIRS)
    )
    return Table(("class", "answered", "videos", "of the class (%)"), rows)


def bin_table(found: Calibration) -> Table:
    """Videos, confidence and accuracy by bin; empty bins are left out."""
    rows = [(edges, *cells) for edges, *cells in calibration_bins(found) if cells[0]]
    return Table(
        ("confidence", "videos", "mean confidence (%)", "accuracy (%)"),
        tuple(
            (f"{a:.2f} - {b:.2f}", str(n), percent(c, 1), percent(r, 1)) for (a, b), n, c, r in rows
        ),
    )


def calibration_bins(found: Calibration) -> Iterator[tuple[tuple[float, float], int, float, float]]:
    """Edges, number of videos, mean confidence and accuracy of each bin."""
    edges = np.linspace(0, 1, len(found.num_videos) + 1).tolist()
    columns = (found.num_videos, found.confidence, found.accuracy)
    values = zip(*(column.tolist() for column in columns), strict=True)
    for low, high, bin_values in zip(edges[:-1], edges[1:], values, strict=True):
        yield (low, high), *bin_values


def write_matrix(path: Path, matrix: Tensor, classes: Sequence[str]) -> None:
    """Write a row per true class and a column per answer; what is not defined is empty."""
    texts = ([f"{v:.6g}" if v == v else "" for v in row] for row in matrix.tolist())
    rows = ([name, *row] for name, row in zip(classes, texts, strict=True))
    write_table(path, ("true class", *classes), rows)


def write_tables(result: RunResult, folder: Path) -> None:
    """Write matrix, shares, classes, pairs and bins as CSV files."""
    classes, counts = result.classes, result.counts
    write_matrix(folder / "confusion.csv", counts, classes)
    write_matrix(folder / "confusion_shares.csv", normalized_by_class(counts), classes)
    rows = (
        (*row[:4], "" if (a := row.accuracy) is None else f"{a:.6g}", row[4])
        for row in _class_rows(result)
    )
    write_table(folder / "classes.csv", (*_COLUMNS[:4], "accuracy", _COLUMNS[5]), rows)
    pairs = (
        (classes[p.label], classes[p.answer], p.num_videos, f"{p.share:.6g}")
        for p in most_confused_pairs(counts, counts.numel())
    )
    write_table(folder / "confused_pairs.csv", ("true class", "answer", "videos", "share"), pairs)
    if result.calibration is not None:
        rows = (
            [f"{a:.6g}", f"{b:.6g}", n, *(f"{v:.6g}" if n else "" for v in values)]
            for (a, b), n, *values in calibration_bins(result.calibration)
        )
        columns = ("from", "to", "videos", "confidence", "accuracy")
        write_table(folder / "calibration.csv", columns, rows)


def _class_rows(result: RunResult) -> Iterator[_ClassRow]:
    counts = result.counts.numpy()
    num_train = np.bincount(result.splits.train.labels, minlength=len(counts)).tolist()
    for label, name in enumerate(result.classes):
        row = counts[label].copy()
        num_right, row[label] = int(row[label]), 0
        most = int(row.argmax())
        taken = f"{result.classes[most]} ({row[most]})" if row[most] else ""
        yield _ClassRow(name, num_train[label], int(counts[label].sum()), num_right, taken)


def _bars(rows: Sequence[_ClassRow]) -> str:
    def cells(row: _ClassRow) -> Iterable[str]:
        width = 100 * (row.accuracy or 0)
        yield f'<th scope="row">{escape(row.name)}</th>'
        yield f'<td>{percent(row.accuracy, 1)}<div class="share"><i style="width:{width:.2f}%"></i></div></td>'
        yield from (
            f"<td>{number}</td>" for number in (row.num_right, row.num_videos, row.num_train)
        )
        yield f'<td class="name">{escape(row.taken_for or DASH)}</td>'

    names = (_COLUMNS[0], _COLUMNS[4], _COLUMNS[3], _COLUMNS[2], _COLUMNS[1], _COLUMNS[5])
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(f"<tr>{''.join(cells(row))}</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return scrolling(table, "accuracy by class")
