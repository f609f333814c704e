"""Gain and loss of each class against the baseline, as bars in an HTML table."""

import math
from html import escape

import torch

from gcvideo.comparison._number import percent, percent_decimals
from gcvideo.comparison._results import Comparison
from gcvideo.comparison._style import variant_styles

_MAX_ROWS = 20


def class_gain_tables(comparison: Comparison) -> str:
    """A row per class, a bar per variant; of many classes those that change most come first."""
    names = list(comparison.differences)
    if not names:
        return "<p>No variant shares a seed with the baseline yet.</p>"
    gains = {name: comparison.class_gains(name).tolist() for name in names}
    changes = [
        max((abs(row[label]) for row in gains.values() if not math.isnan(row[label])), default=0.0)
        for label in range(len(comparison.classes))
    ]
    labels = list(range(len(comparison.classes)))
    everything = _table(comparison, gains, labels, max(changes) or 1.0)
    intro = (
        f"<p>Points of accuracy gained (to the right) and lost (to the left) against "
        f"{escape(comparison.baseline)}, mean over seeds; in brackets the number of test videos. A "
        "class of few videos moves far by chance.</p>"
    )
    if len(labels) <= _MAX_ROWS:
        return intro + everything
    most = sorted(labels, key=lambda label: -changes[label])[:_MAX_ROWS]
    return (
        f"{intro}<p>The {_MAX_ROWS} classes that change most, of {len(labels)}.</p>"
        f"{_table(comparison, gains, most, max(changes) or 1.0)}"
        f"<details><summary>All {len(labels)} classes</summary>{everything}</details>"
    )


def _table(
    comparison: Comparison, gains: dict[str, list[float]], labels: list[int], largest: float
) -> str:
    decimals, styles = percent_decimals(comparison), variant_styles(comparison)
    cells = comparison.variant(comparison.baseline).cells
    counts = torch.bincount(cells[0].labels, minlength=len(comparison.classes)).tolist()
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in gains)
    rows = []
    for label in labels:
        bars = "".join(
            _bar(
                row[label] / largest, percent(row[label], decimals, signed=True), styles[name].color
            )
            for name, row in gains.items()
        )
        title = f"{escape(comparison.classes[label])} ({counts[label]})"
        rows.append(f'<tr><th scope="row">{title}</th>{bars}</tr>')
    return (
        '<div class="scroll" role="region" aria-label="gain and loss by class" tabindex="0">'
        f'<table><thead><tr><th scope="col">class</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _bar(share: float, text: str, color: str) -> str:
    if math.isnan(share) or share == 0:
        return f'<td>{text}<div class="bar"></div></td>'
    side = "gain" if share > 0 else "loss"
    style = f"width:{50 * abs(share):.2f}%;background:{color}"
    return f'<td>{text}<div class="bar"><i class="{side}" style="{style}"></i></div></td>'
