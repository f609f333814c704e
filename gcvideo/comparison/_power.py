"""Which difference a test set can show, before anything is trained."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist

from gcvideo.comparison._paired_difference import Z95
from gcvideo.comparison._table import Table, percent

# Both nets are right on most videos and wrong on most of the others: shares on which only one is right.
_DISCORDANCES = (0.1, 0.2, 0.3, 0.4)
_CORRELATIONS = (0.0, 0.1, 0.3)


def detectable_difference(
    group_sizes: Sequence[int], discordance: float, correlation: float = 0.0, power: float = 0.8
) -> float:
    """The smallest difference of two accuracies that a two-sided test at 0.05 finds with a power.

        D^2 = z^2 (p - D^2) e / n,    e = 1 + (sum_g n_g^2 / n - 1) r,    z = z_0.975 + z_power

    The answers on n videos are +1 or -1 with probability p in all and 0 otherwise, and correlate by r
    within a group of n_g videos. Seeds on one video mostly agree, so more of them hardly help.

    Source: the variance of a paired difference (McNemar) with the design effect of unequal clusters (Kish,
    Survey Sampling, 1965, section 5.4).

    Args:
        group_sizes: numbers of videos of the groups; ones for videos that stand by themselves.
        discordance: p, the share of the videos on which only one of the two nets is right.
        correlation: r of the answers within a group.
        power: chance of finding the difference.

    Raises:
        ValueError: for no videos, or a share, correlation or power outside (0, 1), 0 being a correlation.
    """
    num_videos = sum(group_sizes)
    if num_videos < 1:
        raise ValueError("there are no test videos; a test needs at least one")
    if not (0 < discordance < 1 and 0 <= correlation < 1 and 0 < power < 1):
        raise ValueError(
            f"discordance is {discordance}, correlation {correlation}, power {power}; each lies between 0 "
            "and 1, and the correlation may be 0"
        )
    mean_size = sum(size**2 for size in group_sizes) / num_videos
    effect = 1 + (mean_size - 1) * correlation
    scale = (Z95 + NormalDist().inv_cdf(power)) ** 2 * effect / num_videos
    return math.sqrt(scale * discordance / (1 + scale))


def power_table(groups: Sequence[str]) -> Table:
    """The differences that a test on videos of these groups finds four times out of five."""
    sizes = [*Counter(groups).values()]
    is_grouped = len(sizes) < len(groups)
    correlations = _CORRELATIONS if is_grouped else (0.0,)
    header = (f"difference at r = {r:g}" if is_grouped else "difference" for r in correlations)
    rows = (
        (
            percent(p, 0) + " %",
            *(percent(detectable_difference(sizes, p, r), 1) for r in correlations),
        )
        for p in _DISCORDANCES
    )
    return Table(("only one net is right", *header), tuple(rows))
