import signal
from types import FrameType

# Those that the system has; Windows lacks SIGUSR1.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)


class TrainingStopped(Exception):
    """A training that was asked to stop by a signal and has written where it stands.

    Args:
        signal_number: of the signal; a shell expects the exit status 128 + it.
        message: for the user.
    """

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.signal_number = signal_number

    @property
    def exit_status(self) -> int:
        return 128 + self.signal_number


class StopSignal:
    """Remembers SIGINT, SIGTERM or SIGUSR1 until the run is between two batches.

    Lightning's handler of SIGTERM talks to other ranks from within the signal, wherever the training
    stands, and SIGINT may hit the middle of an optimizer step. A second SIGINT stops at once.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, object] = {}

    def install(self) -> None:
        """Take over the signals; does nothing if that was done."""
        if not self._before:
            self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}

    def restore(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]
        self._before = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
