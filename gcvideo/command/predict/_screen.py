"""What a prediction says on the screen."""

import time
from typing import Protocol, runtime_checkable

from gcvideo._console import Console
from gcvideo._duration import duration

_CONSOLE = Console()
_NUM_SHOWN = 10


@runtime_checkable
class Shown(Protocol):
    """The results of a video, as the screen needs them."""

    @property
    def error(self) -> str | None:
        """Why there are none."""
        ...

    def show(self) -> None:
        """Print them."""
        ...


class PredictionScreen:
    """Prints results as they come, or counts them, and a summary at the end.

    Args:
        shows_each: whether results are printed; else the first failures are, at the end.
    """

    def __init__(self, *, shows_each: bool) -> None:
        self._shows_each = shows_each
        self._failures: list[str] = []
        self._num_done = self._num_failed = 0
        self._started = time.monotonic()

    def show(self, outcome: Shown) -> None:
        """Print the results of a video, or remember its failure."""
        self._num_done += 1
        if outcome.error is not None:
            self._num_failed += 1
            if len(self._failures) < _NUM_SHOWN:
                self._failures.append(outcome.error)
        elif self._shows_each:
            outcome.show()

    def finish(self, kept_in: str | None) -> None:
        """Print how many videos were classified, and which could not be read."""
        if self._num_failed:
            _CONSOLE.print(f"{self._num_failed} files could not be read:")
            for reason in self._failures:
                _CONSOLE.print(f"  {reason}", soft_wrap=True)
            if self._num_failed > len(self._failures):
                where = f", in '{kept_in}'" if kept_in is not None else ""
                more = self._num_failed - len(self._failures)
                _CONSOLE.print(f"  and {more} more{where}", soft_wrap=True)
        if self._num_done > 1:
            seconds = time.monotonic() - self._started
            rate = f", {self._num_done / seconds:.1f}/s" if seconds else ""
            _CONSOLE.print(
                f"{self._num_done} videos in {duration(seconds)}{rate}"
                + (f"; results are in '{kept_in}'" if kept_in is not None else ""),
                soft_wrap=True,
            )
