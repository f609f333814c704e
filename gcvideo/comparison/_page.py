"""One page with all of a comparison: no script, nothing loaded from elsewhere."""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

from gcvideo.comparison._class_gain import class_gain_tables
from gcvideo.comparison._figure import accuracy_figure, curve_figure, marker_figure
from gcvideo.comparison._number import DASH, mean_and_spread, percent_decimals
from gcvideo.comparison._outcome import describe_baseline, describe_difference, describe_test
from gcvideo.comparison._results import Comparison, CurvePoint
from gcvideo.comparison._style import variant_styles
from gcvideo.comparison._table import LEGEND, Table, comparison_table, missing_cells, seed_table

_PROBES = (
    "Top-1 accuracy of the same weights when the frames of each test clip are perturbed. What a "
    "variant loses against its own top-1 is what it draws from the order or motion of the frames."
)
_MACS = (
    "MACs are multiply-accumulates of one view: convolutions, linear layers and attention products "
    "count, one per multiply-add; element-wise work, normalisation and pooling do not. Papers that "
    "print FLOPs of video nets mostly mean this number."
)
_STATISTICS = (
    "Paired answers. Each variant is compared with {baseline} video by video, with the same seed and "
    "test list. Only videos that one of the two has right and the other wrong tell them apart. "
    "McNemar's exact test asks how likely so uneven a split would be if each such video fell to either "
    "side with probability 1/2. Pooled over seeds it counts a video once per seed as if these were "
    "different videos, so its p is too small where seeds agree; the table of seeds has it for each.",
    "Clustered by video. The sign-flip test therefore sums the seeds of a video first, and flips each "
    "video as a whole: p is the share of all flips (counted exactly) whose difference is at least as "
    "large as the one seen. The more variants, the likelier that one looks good by chance: Holm's rule "
    "adjusts p for the number of comparisons with {baseline}, here {number}. That no difference can be "
    "told does not mean that there is none: few videos show only large ones.",
    "Videos and seeds. All p-values speak of other test videos of the same kind, with the nets as they "
    "were trained. They hardly speak of other seeds, of which there are few: the spread, a standard "
    "deviation over seeds (n - 1), is the other half of the truth. A difference no larger than its "
    "spread may be one of seeds, whatever p says.",
)


def report_page(comparison: Comparison) -> str:
    """The report as one HTML file, for desktop and phone, online or not."""
    template = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    table = comparison_table(comparison)
    return template.substitute(
        title=escape(comparison.title),
        outcome=_outcome(comparison),
        missing=_missing(comparison),
        table=_scrolling(table, "comparison") + _paragraphs(LEGEND),
        plots=_plots(comparison),
        classes=class_gain_tables(comparison),
        probes=_probes(comparison),
        seeds=_scrolling(seed_table(comparison), "seeds"),
        making=_making(comparison),
    )


def _outcome(comparison: Comparison) -> str:
    others = [v.name for v in comparison.variants if v.name != comparison.baseline]
    sentences = (describe_difference(comparison, name) for name in others)
    return (
        _paragraphs([describe_baseline(comparison)])
        + _list(sentences)
        + _paragraphs([describe_test(comparison)])
    )


def _missing(comparison: Comparison) -> str:
    missing = missing_cells(comparison)
    if not missing:
        return ""
    return (
        f'<div class="missing"><h2>Missing cells</h2><p>The comparison is not complete; all numbers '
        f"may change.</p>{_list(missing)}</div>"
    )


def _plots(comparison: Comparison) -> str:
    def val_percent(point: CurvePoint) -> float | None:
        return None if point.val_top1 is None else 100 * point.val_top1

    figures = {
        "Accuracy against MACs": accuracy_figure(
            comparison, lambda variant: variant.macs / 1e9, "MACs per view (G)"
        ),
        "Accuracy against time": accuracy_figure(
            comparison, lambda variant: variant.ms_per_clip, "inference (ms per clip)"
        ),
        "Training loss": curve_figure(comparison, lambda point: point.train_loss, "training loss"),
        "Validation accuracy": curve_figure(comparison, val_percent, "validation top-1 (%)"),
    }
    names = "".join(
        f"<li>{marker_figure(style)}{escape(name)}</li>"
        for name, style in variant_styles(comparison).items()
    )
    drawn = "\n".join(
        f"<figure><figcaption>{name}</figcaption>{svg}</figure>"
        for name, svg in figures.items()
        if svg is not None
    )
    absent = [name for name, svg in figures.items() if svg is None]
    note = f"<p>Not measured: {', '.join(absent)}.</p>" if absent else ""
    return (
        f'<ul class="names">{names}</ul>\n<div class="plots">\n{drawn}\n</div>\n{note}'
        "<p>Points and lines are means over seeds; error bars and bands are the spread over seeds.</p>"
    )


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
    return f"<p>{_PROBES}</p>{_scrolling(Table(header, rows), 'probes')}"


def _making(comparison: Comparison) -> str:
    facts = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in comparison.facts.items()
    )
    keys = dict.fromkeys(key for variant in comparison.variants for key in variant.settings)
    settings = Table(
        ("variant", *keys),
        tuple(
            (variant.name, *(variant.settings.get(key, DASH) for key in keys))
            for variant in comparison.variants
        ),
    )
    statistics = (
        text.format(baseline=comparison.baseline, number=len(comparison.differences))
        for text in _STATISTICS
    )
    done = "" if missing_cells(comparison) else "<p>No cell is missing.</p>"
    table = _scrolling(settings, "settings") if keys else ""
    return f"<dl>{facts}</dl>{table}{done}{_paragraphs([*statistics, _MACS])}"


def _scrolling(table: Table, name: str) -> str:
    return (
        f'<div class="scroll" role="region" aria-label="table: {name}" tabindex="0">'
        f"{table.html()}</div>"
    )


def _paragraphs(texts: Iterable[str]) -> str:
    return "".join(f"<p>{escape(text)}</p>\n" for text in texts)


def _list(texts: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(text)}</li>\n" for text in texts)
    return f"<ul>\n{items}</ul>" if items else ""
