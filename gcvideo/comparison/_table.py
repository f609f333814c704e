"""The table of a comparison, for programs (CSV) and for people (Markdown, HTML), and its numbers."""

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby
from typing import NamedTuple

from rich.box import SIMPLE
from rich.table import Table as ScreenTable

from gcvideo.comparison._paired_difference import SeedValues
from gcvideo.comparison._results import Comparison, VariantResult

DASH = "-"


def significant(value: float | None, digits: int = 4) -> str:
    """Rounded to that many significant digits, but never to tens: 32.45, 0.04512, 4718."""
    if value is None:
        return DASH
    magnitude = math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{max(0, digits - 1 - magnitude)}f}"


def p_value(value: float | None) -> str:
    """Three significant digits, or "< 0.001"."""
    if value is None:
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3g}"


def percent_decimals(comparison: Comparison) -> int:
    """As many as make one test video visible: two from a thousand videos on."""
    sizes = [len(cell.videos) for variant in comparison.variants for cell in variant.cells]
    return 2 if max(sizes, default=0) >= 1000 else 1


def percent(value: float | None, decimals: int, *, signed: bool = False) -> str:
    """A share in percent, or a difference of shares in points, with its sign."""
    if value is None or math.isnan(value):
        return DASH
    text = f"{100 * value:{'+' if signed else ''}.{decimals}f}"
    # What rounds to zero has no sign.
    return text if float(text) else text.lstrip("+-")


def mean_and_spread(values: SeedValues, decimals: int, *, signed: bool = False) -> str:
    """Such as "81.3 ± 0.4" for shares; a dash without values."""
    if values.mean is None:
        return DASH
    mean = percent(values.mean, decimals, signed=signed)
    return f"{mean} ± {percent(values.spread, decimals)}"


def describe_blocks(blocks: Sequence[str]) -> str:
    """Count, kind and places of inserted blocks such as "res3.1 NL": "5 NL: res3.1,3 res4.0-2"."""
    kinds: dict[str, dict[str, list[int]]] = {}
    for block in blocks:
        place, _, kind = block.partition(" ")
        stage, _, index = place.rpartition(".")
        kinds.setdefault(kind, {}).setdefault(stage, []).append(int(index))
    parts = []
    for kind, stages in kinds.items():
        places = " ".join(f"{stage}.{_ranges(indices)}" for stage, indices in stages.items())
        parts.append(f"{sum(map(len, stages.values()))} {kind}: {places}")
    return "; ".join(parts) or "none"


def _ranges(numbers: Sequence[int]) -> str:
    """Such as "0-2,5"; the numbers ascend."""
    runs = [[*run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ",".join(
        str(run[0][1]) if len(run) == 1 else f"{run[0][1]}-{run[-1][1]}" for run in runs
    )


LEGEND = (
    f"{DASH}: not measured, or not defined (the baseline against itself, the spread of one seed).",
    "±: standard deviation over seeds. Times are medians, and memory is that of a training step. "
    "Difference: to the baseline, paired by seed and video. Calibration error: expected, over 15 bins.",
    "p: of no difference to the baseline. McNemar takes all pairs as independent, but seeds on one video "
    "are not; clustered flips the seeds of a video together, or all videos of a group (data.groups); Holm "
    "adjusts clustered p for the number of comparisons. The interval holds for other videos, or groups, and "
    "these weights.",
)


class Table(NamedTuple):
    """Rows of plain text under a header."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """A Markdown table, as GitHub and others show it."""
        head, *rows = (
            f"| {' | '.join(map(_markdown_text, row))} |" for row in (self.header, *self.rows)
        )
        return "\n".join([head, "|---" * len(self.header) + "|", *rows]) + "\n"

    def latex(self) -> str:
        """A tabular of LaTeX with the rules of the package booktabs."""
        head, *rows = (
            f"{' & '.join(map(_latex_text, row))} \\\\" for row in (self.header, *self.rows)
        )
        lines = ["\\toprule", head, "\\midrule", *rows, "\\bottomrule"]
        columns = "l" + "r" * (len(self.header) - 1)
        return "\n".join([f"\\begin{{tabular}}{{{columns}}}", *lines, "\\end{tabular}"]) + "\n"

    def on_screen(self, title: str | None = None) -> ScreenTable:
        """For a terminal; all columns but the first are right-aligned."""
        shown = ScreenTable(title=title, title_justify="left", box=SIMPLE, padding=0)
        for number, heading in enumerate(self.header):
            shown.add_column(heading, justify="right" if number else "left", overflow="fold")
        for row in self.rows:
            shown.add_row(*row)
        return shown

    def parts(self, num_columns: int) -> list["Table"]:
        """Tables of at most so many columns, each with the first one."""
        starts = range(1, max(len(self.header), 2), num_columns - 1)
        ends = (slice(start, start + num_columns - 1) for start in starts)
        return [
            Table(
                (self.header[0], *self.header[part]),
                tuple((row[0], *row[part]) for row in self.rows),
            )
            for part in ends
        ]

    def html(self) -> str:
        """A table element whose first column contains row headers."""
        head = "".join(f'<th scope="col">{escape(text)}</th>' for text in self.header)
        rows = "\n".join(
            f'<tr><th scope="row">{escape(first)}</th>{"".join(map(_html_cell, others))}</tr>'
            for first, *others in self.rows
        )
        return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def comparison_table(comparison: Comparison) -> Table:
    """One row per variant, rounded for readers."""
    columns = [dict(_cells(comparison, variant)) for variant in comparison.variants]
    return Table(tuple(columns[0]), tuple(tuple(row.values()) for row in columns))


def markdown_table(comparison: Comparison) -> str:
    """The table of a comparison as Markdown, with missing cells and the legend below."""
    missing = [_markdown_text(f"Missing: {text}") for text in comparison.missing]
    return comparison_table(comparison).markdown() + "\n" + "\n\n".join([*missing, *LEGEND]) + "\n"


def latex_table(comparison: Comparison) -> str:
    """The table of a comparison for a paper, which needs the package booktabs; the legend as comments."""
    notes = [f"Missing: {text}" for text in comparison.missing]
    comments = [
        "% \\usepackage{booktabs}",
        *("% " + " ".join(n.split()) for n in (*notes, *LEGEND)),
    ]
    return "\n".join(comments) + "\n" + comparison_table(comparison).latex()


def csv_table(comparison: Comparison) -> str:
    """The table of a comparison in full precision; what was not measured is empty."""
    rows = [dict(_raw_cells(comparison, variant)) for variant in comparison.variants]
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def seed_table(comparison: Comparison) -> Table:
    """One row per variant and seed: the numbers behind the means and pooled tests."""
    decimals = percent_decimals(comparison)
    header = ("variant", "seed", "top-1 (%)", "right, baseline wrong", "wrong, baseline right")
    rows = []
    for variant in comparison.variants:
        difference = comparison.differences.get(variant.name)
        for cell in variant.cells:
            pairs = (DASH, DASH, DASH)
            if difference is not None and cell.seed in difference.answers:
                pairs = (
                    str(difference.num_better[cell.seed]),
                    str(difference.num_worse[cell.seed]),
                    p_value(difference.mcnemar[cell.seed]),
                )
            accuracy = percent(cell.top_k(1), decimals)
            rows.append((variant.name, str(cell.seed), accuracy, *pairs))
    return Table((*header, "McNemar p"), tuple(rows))


def _cells(comparison: Comparison, variant: VariantResult) -> Iterator[tuple[str, str]]:
    decimals = percent_decimals(comparison)
    difference = comparison.differences.get(variant.name)
    yield "variant", variant.name
    yield "top-1 (%)", mean_and_spread(variant.top_k(1), decimals)
    points = difference and mean_and_spread(difference.top1, decimals, signed=True)
    yield "difference (points)", points or DASH
    ends = difference and [percent(end, decimals, signed=True) for end in difference.interval]
    yield "95 % interval", " to ".join(ends) if ends else DASH
    yield "McNemar p", p_value(difference and difference.pooled_mcnemar)
    yield "clustered p", p_value(difference and difference.clustered)
    yield "Holm p", p_value(comparison.adjusted_p_values.get(variant.name))
    yield "parameters (M)", significant(variant.num_parameters / 1e6)
    yield "MACs per view (G)", significant(variant.macs / 1e9)
    yield "ms per clip", significant(variant.ms_per_clip, 3)
    yield "training ms per clip", significant(variant.train_ms_per_clip, 3)
    yield "peak memory (MiB)", significant(variant.peak_bytes and variant.peak_bytes / 2**20, 3)
    if comparison.has_top5:
        yield "top-5 (%)", mean_and_spread(variant.top_k(5), decimals)
    yield "mean class accuracy (%)", mean_and_spread(variant.mean_class_accuracy(), decimals)
    yield "calibration error (%)", mean_and_spread(variant.calibration_error(), 1)
    yield "seeds", _seeds(cell.seed for cell in variant.cells) or DASH
    for probe in comparison.probes:
        yield f"top-1, {probe} (%)", mean_and_spread(variant.probe(probe), decimals)
    # Last, because it is the widest.
    yield "inserted blocks", describe_blocks(variant.blocks)


def _raw_cells(
    comparison: Comparison, variant: VariantResult
) -> Iterator[tuple[str, str | float | None]]:
    difference = comparison.differences.get(variant.name)
    yield "variant", variant.name
    yield "inserted blocks", "; ".join(variant.blocks)
    yield "number of inserted blocks", len(variant.blocks)
    yield "parameters", variant.num_parameters
    yield "MACs per view", variant.macs
    yield "inference (ms per clip)", variant.ms_per_clip
    yield "training (ms per clip)", variant.train_ms_per_clip
    yield "peak memory (bytes)", variant.peak_bytes
    accuracies = {"top-1": variant.top_k(1)}
    if comparison.has_top5:
        accuracies["top-5"] = variant.top_k(5)
    accuracies["mean class accuracy"] = variant.mean_class_accuracy()
    accuracies |= {f"top-1, {probe}": variant.probe(probe) for probe in comparison.probes}
    for name, values in accuracies.items():
        yield f"{name}, mean (fraction)", values.mean
        yield f"{name}, spread (fraction)", values.spread
    yield "calibration error, mean (fraction)", variant.calibration_error().mean
    yield "calibration error, spread (fraction)", variant.calibration_error().spread
    yield "difference, mean (fraction)", difference and difference.top1.mean
    yield "difference, spread (fraction)", difference and difference.top1.spread
    low, high = difference.interval if difference else (None, None)
    yield "difference, 95 % from (fraction)", low
    yield "difference, 95 % to (fraction)", high
    yield "McNemar p", difference and difference.pooled_mcnemar
    yield "clustered p", difference and difference.clustered
    yield "Holm p", comparison.adjusted_p_values.get(variant.name)
    yield "seeds", _seeds(cell.seed for cell in variant.cells)
    for seed in comparison.seeds:
        yield f"top-1, seed {seed} (fraction)", accuracies["top-1"].values.get(seed)
        yield f"McNemar p, seed {seed}", difference and difference.mcnemar.get(seed)


def _seeds(seeds: Iterable[int]) -> str:
    return " ".join(map(str, seeds))


def _html_cell(text: str) -> str:
    # Numbers stay on one line.
    return f'<td class="text">{escape(text)}</td>' if len(text) > 20 else f"<td>{escape(text)}</td>"


def _markdown_text(text: str) -> str:
    """One line without markup; underscores inside a word are not markup."""
    line = re.sub("[&<](?! )", lambda match: escape(match[0]), " ".join(text.split()))
    return re.sub(r"([\\`*\[\]|~]|(?<!\w)_|_(?!\w))", r"\\\1", line)


_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
}


def _latex_text(text: str) -> str:
    """One line without commands; a number's minus is one."""
    line = "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))
    return re.sub(r"^-(?=\d)", "$-$", line)
