"""Tables of query independence, in the form of the paper."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from gcvideo._console import Console
from gcvideo.attention._pair_distance import PairMeans
from gcvideo.attention._query_independence import QueryIndependence
from gcvideo.comparison._table import Table

_CONSOLE = Console()
_METHODS = {
    "gaussian": "Gaussian",
    "embedded_gaussian": "E-Gaussian",
    "dot_product": "Dot product",
    "concatenation": "Concat",
}
_COLUMNS = ("cos input", "cos output", "cos att", "JSD att")

PUBLISHED = Table(
    ("method", *_COLUMNS),
    (
        ("Gaussian", "0.345", "0.056", "0.056", "0.021"),
        ("E-Gaussian", "0.358", "0.003", "0.004", "0.015"),
        ("Dot product", "0.353", "0.095", "0.099", "-"),
        ("Concat", "0.354", "0.048", "0.049", "-"),
    ),
)
_PUBLISHED_TITLE = (
    "Published, not measured here: Cao et al., GCNet (arXiv:1904.11492), Table 1, Kinetics"
)


class LayerRow(NamedTuple):
    """The result of one block such as "res4.5", or of their "mean", on a grid such as "8x14x14"."""

    layer: str
    kind: str
    axes: str
    grid: str
    measured: QueryIndependence

    @property
    def method(self) -> str:
        """The kind in the paper's words."""
        name = _METHODS.get(self.kind, self.kind)
        return name if self.axes == "thw" else f"{name} ({self.axes})"


def plain_columns(row: LayerRow) -> dict[str, str | float | bool | None]:
    """A row by column, for files; None where a value is undefined."""
    m = row.measured
    distances = {"cos_input": m.input, "cos_output": m.output, "cos_attention": m.attention}
    undefined = PairMeans(math.nan, math.nan, math.nan)
    means = {name: distance.means for name, distance in distances.items()}
    means["jsd_attention"] = m.divergence.means if m.divergence else undefined
    means["jsd_standard_error"] = m.divergence.standard_errors if m.divergence else undefined
    columns: dict[str, str | float | bool | None] = row._asdict()
    del columns["measured"]
    for name, by_pairs in means.items():
        for pairs, value in by_pairs._asdict().items():
            column = name if pairs == "all" else f"{name}_{pairs}"
            columns[column] = None if math.isnan(value) else value
    columns["jsd_is_exact"] = m.divergence.is_exact if m.divergence else None
    for name, distance in distances.items():
        columns[f"zero_share_{name.removeprefix('cos_')}"] = distance.zero_share
    return columns


def show_tables(rows: Sequence[LayerRow], notes: Sequence[str], *, published: bool) -> None:
    tables = _tables(rows) + ([(_PUBLISHED_TITLE, PUBLISHED)] if published else [])
    for title, table in tables:
        _CONSOLE.print(table.on_screen(title))
    for note in notes:
        _CONSOLE.print(note, soft_wrap=True)


def markdown(rows: Sequence[LayerRow], notes: Sequence[str], *, published: bool) -> str:
    """The same as a Markdown page."""
    parts = ["# Query independence"]
    parts += [f"## {title}\n\n{table.markdown()}" for title, table in _tables(rows)]
    parts.append("\n".join(f"- {note}" for note in notes))
    if published:
        parts.append(f"## {_PUBLISHED_TITLE}\n\n{PUBLISHED.markdown()}")
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def explain(rows: Sequence[LayerRow], num_pairs: int) -> list[str]:
    """Notes on what the numbers mean, and on pairs that were sampled or left out."""
    notes = [
        "cos: average cosine distance (1 - cos) / 2, from 0 to 1, of the input x, of the output z - x "
        "and of the attention rows (att). JSD: average Jensen-Shannon divergence of the rows, from 0 "
        "to log 2 = 0.693, for kinds with a softmax.",
        "All pairs: all pairs of queries, including i = j. Spatial: in one frame. Temporal: at one place. "
        "The last two exclude i = j.",
    ]
    layers = [row for row in rows if row.layer != "mean"]
    drawn = [
        (row.layer, max(e for e in d.standard_errors if not math.isnan(e)))
        for row in layers
        if (d := row.measured.divergence) and not d.is_exact
    ]
    if drawn:
        names = ", ".join(layer for layer, _ in drawn)
        error = max(error for _, error in drawn)
        notes.append(
            f"JSD of {names}: from {num_pairs} random pairs per map and kind of pair, stratified by "
            f"frames; standard error at most {error:.1e}."
        )
    for row in layers:
        for name in ("input", "output", "attention"):
            share = getattr(row.measured, name).zero_share
            if share:
                notes.append(
                    f"{row.layer}: {share:.2%} of the {name} vectors are zero and have no angle; pairs "
                    "with them are left out (nan: no pair is left)."
                )
    return notes


def _tables(rows: Sequence[LayerRow]) -> list[tuple[str, Table]]:
    titles = {
        "all": "All pairs of queries",
        "spatial": "Spatial pairs: in one frame",
        "temporal": "Temporal pairs: at one place",
    }
    header = ("method", "layer", "map", *_COLUMNS)
    return [
        (title, Table(header, tuple(_cells(row, pairs) for row in rows)))
        for pairs, title in titles.items()
    ]


def _cells(row: LayerRow, pairs: str) -> tuple[str, ...]:
    m = row.measured
    means = [d.means if d else None for d in (m.input, m.output, m.attention, m.divergence)]
    values = (_text(getattr(mean, pairs) if mean else None) for mean in means)
    return (row.method, row.layer, row.grid, *values)


def _text(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if value >= 0.001 or value == 0 or math.isnan(value) else f"{value:.1e}"
