"""SIGINT and SIGTERM as exceptions, for commands that save their results so far."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A signal stopped a command; shells expect the exit status 128 + the number of the signal."""

    def __init__(self, signal_number: int, message: str | None = None) -> None:
        super().__init__(message or f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number
        self.exit_status = 128 + signal_number


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Within, the first SIGINT or SIGTERM raises ``Interrupted``; the list given holds it afterwards.

    A further SIGTERM has no effect, since schedulers send several; a further SIGINT ends at once. Signals
    that this process ignores stay ignored. Outside the main thread, nothing changes.
    """
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        if not received:
            received.append(number)
            raise Interrupted(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in before.items():
            # None stands for a handler that was not set from Python.
            signal.signal(number, handler or signal.SIG_DFL)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Within, SIGINT and SIGTERM wait, and the first of them comes at the end; so no row is cut in two.

    Outside the main thread, nothing changes.
    """
    waiting: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if callable(handler := signal.getsignal(number)):
                before[number] = handler
    for number in before:
        signal.signal(number, lambda number, frame: waiting.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if waiting:
            signal.raise_signal(waiting[0])
