"""How far the classification of a live source falls behind it."""

import math
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from jaxtyping import UInt8

TimedFrame = tuple[float, UInt8[np.ndarray, "h w 3"]]


class Backlog:
    r"""Counts the windows that are left out because a net is slower than its source.

    Between two frames that were sent at times t and t', the net and whoever uses its results are busy for b
    seconds, and the source goes on by t' - t. The delay d grows by the difference,

        d <- max(0, d + b - (t' - t))

    and a window that is complete while d exceeds ``max_delay_seconds`` is left out, so that a source that
    waits for its reader (TCP) is caught up with. A source that does not wait (cameras, UDP) drops frames
    instead: of the windows whose starts it passes over while the net is busy with one window, at most
    b / stride are counted as left out. Waiting for frames is not being busy, so sources that send in bursts
    are not late; nor is time counted that decoding takes.

    Args:
        stride_seconds: seconds between the starts of two windows.
        max_delay_seconds: longest delay with which a window is still classified, ``inf`` for no limit; None
            for a source that waits for its reader, such as a file or pipe, of which nothing is left out.
        clock: function that gives the present time in seconds.

    Raises:
        ValueError: if ``max_delay_seconds`` is negative.
    """

    def __init__(
        self,
        stride_seconds: float,
        max_delay_seconds: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        limit = math.inf if max_delay_seconds is None else max_delay_seconds
        if not limit >= 0:
            raise ValueError(
                f"max_delay_seconds is {limit:g} but must be at least 0; 5 leaves out what is "
                "more than five seconds late"
            )
        self.stride_seconds, self.max_delay_seconds = stride_seconds, limit
        self.delay_seconds = self._busy_seconds = self._last_busy = 0.0
        self.num_classified = self.num_left_out = 0
        self._is_dropping, self._clock = max_delay_seconds is not None, clock

    @property
    def window_seconds(self) -> float:
        """Mean time for which a window keeps the net and the user of its result busy; 0 without a window."""
        return self._busy_seconds / max(self.num_classified, 1)

    def frames(self, frames: Iterable[TimedFrame]) -> Iterator[TimedFrame]:
        """The frames of one connection, while the time is taken for which their user is busy."""
        self.delay_seconds = 0.0
        self._last_busy = busy = 0.0
        last: float | None = None
        for seconds, picture in frames:
            if last is not None:
                self.delay_seconds = max(0.0, self.delay_seconds + busy - (seconds - last))
            last, begun, num_before = seconds, self._clock(), self.num_classified
            yield seconds, picture
            busy = self._clock() - begun
            if self.num_classified > num_before:
                self._busy_seconds += busy
                self._last_busy = busy

    def admits_window(self, num_passed: int = 0) -> bool:
        """Whether a window that is complete now is to be classified; counts it in either case.

        Before it, the source has passed over the starts of ``num_passed`` windows.
        """
        if self._is_dropping:
            self.num_left_out += min(num_passed, int(self._last_busy / self.stride_seconds))
        self._last_busy = 0.0
        is_late = self.delay_seconds > self.max_delay_seconds
        self.num_left_out += is_late
        self.num_classified += not is_late
        return not is_late
