"""Numbers as people read them; None is a dash."""

import math

from gcvideo.comparison._paired_difference import SeedValues
from gcvideo.comparison._results import Comparison

DASH = "-"


def significant(value: float | None, digits: int = 4) -> str:
    """Rounded to so many significant digits, never to tens: 32.45, 0.04512, 4718."""
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
    """As many as one video of the test makes visible: two from a thousand videos on."""
    sizes = [len(cell.videos) for variant in comparison.variants for cell in variant.cells]
    return 2 if max(sizes, default=0) >= 1000 else 1


def percent(value: float | None, decimals: int, *, signed: bool = False) -> str:
    """A share in percent, or a difference of shares in points, with its sign."""
    if value is None or math.isnan(value):
        return DASH
    text = f"{100 * value:{'+' if signed else ''}.{decimals}f}"
    # What rounds to nothing has no side.
    return text if float(text) else text.lstrip("+-")


def mean_and_spread(values: SeedValues, decimals: int, *, signed: bool = False) -> str:
    """Such as "81.3 ± 0.4" of shares; without values one dash."""
    if values.mean is None:
        return DASH
    mean = percent(values.mean, decimals, signed=signed)
    return f"{mean} ± {percent(values.spread, decimals)}"
