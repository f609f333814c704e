"""How long a run still takes, from what its last epochs took."""

import time
from collections import deque
from collections.abc import Callable

_NUM_EPOCHS = 10


class TimeLeft:
    """Seconds to the end of a run.

    ``left = (t - t_0) / (e - e_0) * (e_total - e)`` for e epochs done at the time t; e_0 and t_0 are those of
    ten epochs before, or of the start. The first epoch, in which files are cold and nets are compiled,
    counts as long as there is no other.

    Args:
        clock: function that gives the seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._marks: deque[tuple[float, float]] = deque(maxlen=_NUM_EPOCHS + 1)

    def begin(self, num_done: float) -> None:
        """The run starts, or goes on after so many epochs, and parts of one."""
        self._marks.clear()
        self.mark(num_done)

    def mark(self, num_done: float) -> None:
        """An epoch has ended, so many are done."""
        self._marks.append((num_done, self._clock()))

    def seconds(self, num_done: float, num_epochs: float) -> float | None:
        """What is left after so many epochs, and parts of one; None where nothing is done yet."""
        if not self._marks:
            return None
        before, then = self._marks[1 if len(self._marks) > 2 else 0]
        if num_done <= before:
            return None
        return (self._clock() - then) / (num_done - before) * max(0.0, num_epochs - num_done)
