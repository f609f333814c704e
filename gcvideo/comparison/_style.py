from dataclasses import dataclass

from gcvideo.comparison._results import Comparison


@dataclass(frozen=True)
class Style:
    """How a variant looks in all plots."""

    color: str
    marker: str
    line: str


# Okabe and Ito's colours, which the colour-blind tell apart, without yellow: too pale on white.
_BASELINE = Style("#000000", "o", "-")
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MARKERS = "sD^vPX*"
_LINES = ("-", "--", "-.", ":")


def variant_styles(comparison: Comparison) -> dict[str, Style]:
    """A style per variant, black and round for the baseline; 42 others are all different."""
    names = [variant.name for variant in comparison.variants]
    names.remove(comparison.baseline)
    styles = {
        name: Style(
            _COLORS[index % len(_COLORS)],
            _MARKERS[index % len(_MARKERS)],
            _LINES[index // len(_COLORS) % len(_LINES)],
        )
        for index, name in enumerate(names)
    }
    return {comparison.baseline: _BASELINE, **styles}
