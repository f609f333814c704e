"""Where the time of a training step goes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

PARTS = ("decode", "transform", "transfer", "forward", "backward", "optimizer")
OTHER = "other"


@dataclass(frozen=True)
class StepProfile:
    """Seconds of training steps by their parts.

    Args:
        seconds: of each of ``PARTS``, summed over the steps.
        total: from the start of the first step to the end of the last.
        num_steps: that were timed.
        num_clips: of a step.
    """

    seconds: Mapping[str, float]
    total: float
    num_steps: int
    num_clips: int

    def parts(self) -> dict[str, float]:
        """Seconds of a step by part; "other" is what no part covers."""
        covered = {part: self.seconds.get(part, 0.0) for part in PARTS}
        covered[OTHER] = self.total - sum(covered.values())
        return {part: seconds / self.num_steps for part, seconds in covered.items()}

    def shares(self) -> dict[str, float]:
        """Parts of a step in which its time is 1."""
        step = self.total / self.num_steps
        return {part: seconds / step for part, seconds in self.parts().items()}


class StepRecorder:
    """Takes the time between borders; each moment belongs to the innermost open part.

    Args:
        clock: in seconds; that of a device must wait until its work is done.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.seconds: dict[str, float] = {}
        self.total = 0.0
        self._open: list[str] = []
        self._started = self._border = clock()

    def begin(self) -> None:
        """Forget what was before."""
        self.seconds = {}
        self._started = self._border = self.clock()

    def end(self) -> None:
        """Set ``total`` to the time since :meth:`begin`."""
        self._charge()
        self.total = self._border - self._started

    def enter(self, part: str) -> None:
        """Start a part; the one around it is interrupted."""
        self._charge()
        self._open.append(part)

    def leave(self) -> None:
        """End the innermost part."""
        self._charge()
        self._open.pop()

    def move(self, source: str, target: str, seconds: float) -> None:
        """Count seconds of one part as another's, which the clock could not tell apart."""
        self.seconds[source] = self.seconds.get(source, 0.0) - seconds
        self.seconds[target] = self.seconds.get(target, 0.0) + seconds

    def _charge(self) -> None:
        now = self.clock()
        if self._open:
            part = self._open[-1]
            self.seconds[part] = self.seconds.get(part, 0.0) + now - self._border
        self._border = now
