"""The outcome of a comparison in plain sentences, written from its numbers."""

import torch

from gcvideo.comparison._results import Comparison
from gcvideo.comparison._table import mean_and_spread, p_value, percent, percent_decimals

_LEVEL = 0.05


def describe_baseline(comparison: Comparison) -> str:
    """What the baseline reaches, on how many videos, and what guessing would reach."""
    name, decimals = comparison.baseline, percent_decimals(comparison)
    cells = comparison.variant(name).cells
    if not cells:
        return f"The baseline {name} has no finished cell yet, so nothing can be compared with it."
    labels = torch.cat([cell.labels for cell in cells])
    most_frequent = int(torch.bincount(labels).max()) / len(labels)
    accuracy = mean_and_spread(comparison.variant(name).top_k(1), decimals)
    sizes = sorted({len(cell.videos) for cell in cells})
    return (
        f"The baseline {name} has a top-1 accuracy of {accuracy} % over {_seeds(len(cells))} on "
        f"{' or '.join(map(str, sizes))} test videos of {len(comparison.classes)} classes; always "
        f"naming the most frequent class would give {percent(most_frequent, decimals)} %."
    )


def describe_difference(comparison: Comparison, variant: str) -> str:
    """Whether a variant is better or worse than the baseline, and how sure that is."""
    baseline, difference = comparison.baseline, comparison.differences.get(variant)
    if difference is None:
        return (
            f"{variant}: no seed is finished both here and in {baseline}, so nothing can be said."
        )
    top1, adjusted = difference.top1, comparison.adjusted_p_values[variant]
    assert top1.mean is not None
    if not (any(difference.num_better.values()) or any(difference.num_worse.values())):
        return (
            f"{variant} is right on exactly the same videos as {baseline}, with "
            f"{_seeds(len(top1.values))}: the difference is exactly 0."
        )
    decimals = percent_decimals(comparison)
    evidence = f"p = {p_value(adjusted)}".replace("= <", "<")
    if adjusted >= _LEVEL:
        text = (
            f"No difference can be told between {variant} and {baseline}: "
            f"{percent(top1.mean, decimals, signed=True)} points, {evidence}"
        )
    else:
        side = "above" if top1.mean > 0 else "below"
        text = f"{variant} is {percent(abs(top1.mean), decimals)} points {side} {baseline} ({evidence})"
    if top1.spread is None:
        return f"{text}; with one seed, the effect of another seed is not known."
    text += (
        f"; the spread over {_seeds(len(top1.values))} is {percent(top1.spread, decimals)} points."
    )
    signs = {value > 0 for value in top1.values.values() if value}
    if adjusted < _LEVEL and (len(signs) > 1 or top1.spread >= abs(top1.mean)):
        each = ", ".join(percent(value, decimals, signed=True) for value in top1.values.values())
        text += f" The seeds do not agree ({each}), so other seeds may well reverse this."
    return text


def describe_test(comparison: Comparison) -> str:
    """Which p-values the sentences use, and for how many comparisons they are adjusted."""
    count = len(comparison.differences)
    comparisons = "1 comparison" if count == 1 else f"{count} comparisons"
    return (
        f"p is that of the sign-flip test clustered by video, adjusted by Holm for {comparisons} with "
        f"the baseline {comparison.baseline}; a difference counts as one if p is below {_LEVEL}."
    )


def _seeds(number: int) -> str:
    return "1 seed" if number == 1 else f"{number} seeds"
