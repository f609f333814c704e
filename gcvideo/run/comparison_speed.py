"""How fast the nets of a comparison are on this machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gcvideo.run.comparison_plan import PlannedVariant


class Speed(NamedTuple):
    ms_per_clip: float
    train_ms_per_clip: float
    peak_bytes: int


def measure_speed(planned: Sequence[PlannedVariant], path: Path) -> Mapping[str, Speed]:
    return {}
