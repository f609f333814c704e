"""Frames shown at given times."""

import numpy as np
from jaxtyping import Float64, Int64

# Of a step. A frame that arrives exactly in the middle of one is late, whatever the last bit says.
_ROUNDING = 1e-6


def frames_at(
    wanted: Float64[np.ndarray, "*s"], shown: Float64[np.ndarray, "n"], step_seconds: float
) -> Int64[np.ndarray, "*s"]:
    r"""Indices of the frames for some times: what is on the screen half a step later.

        i(w) = max {i : t_i < w + step / 2},    0 where there is none

    with w = ``wanted`` and t = ``shown``, ascending, in seconds, and step = ``step_seconds``. A frame at a
    constant rate has its own time, however its stamp is rounded: i(i / fps) = i as long as no stamp is
    half a step off. Elsewhere frames are repeated or left out, as by the filter ``fps`` of FFmpeg.
    """
    middles = wanted + (0.5 - _ROUNDING) * step_seconds
    return np.maximum(np.searchsorted(shown, middles) - 1, 0)
