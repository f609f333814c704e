"""Times at which frames are shown, as containers state them."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Int64


def exact(number: Any) -> Fraction:
    """The fraction as PyAV 18 gives it; PyAV 19 has a type of its own."""
    return Fraction(number.numerator, number.denominator)


def ascending_stamps(stamps: Iterable[int | None], step: int) -> Int64[np.ndarray, " n"]:
    """Each stamp, or ``step`` after the one before where it is missing or does not come later."""
    ascending: list[int] = []
    for stamp in stamps:
        after = ascending[-1] + step if ascending else 0
        if stamp is None or (ascending and stamp <= ascending[-1]):
            stamp = after
        ascending.append(stamp)
    return np.array(ascending, dtype=np.int64)
