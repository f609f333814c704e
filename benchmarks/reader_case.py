"""One file that readers are asked about, with the truth that its bar codes tell."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from coded_video import SIZE, X264, Coding, Colour, encode

COUNT = range(60)
RATE = Fraction(25)
# Keyframes at 0, 20 and 40.
CLOSED_GOP = Coding(options={**X264, "g": "20"})


@dataclass(frozen=True)
class Case:
    """One file and what is right.

    Args:
        name: of the situation.
        make: writes the file into a folder and returns its path.
        why: one sentence on what makes readers differ.
        numbers: bar codes of the frames that a player shows, in order.
        rate: (frames - 1) / (time of the last frame - time of the first).
        size: width and height in pixels as shown.
        least_noise: levels that the dark patch must vary by, where grain belongs to the picture.
        ours: why gcvideo differs from a player on purpose, if it does.
    """

    name: str
    make: Callable[[Path], Path]
    why: str
    numbers: Sequence[int] = COUNT
    rate: Fraction = RATE
    size: tuple[int, int] = SIZE
    least_noise: float = 0.0
    ours: str = ""


def plain(
    coding: Coding | None = None,
    colour: Colour | None = None,
    name: str = "a.mp4",
    size: tuple[int, int] = SIZE,
) -> Callable[[Path], Path]:
    """Makes a file of all numbers in order; see :func:`coded_video.encode`."""
    return lambda folder: encode(folder / name, COUNT, coding, colour, size)
