"""One process that works on one item at a time, within a time limit."""

from collections.abc import Callable
from threading import Lock
from typing import Any

from gcvideo.data._parallel import Worker
from gcvideo.data._process_error import ProcessDiedError


class AnswerError(Exception):
    """There is no answer, for a reason that is not a fault of the file's format."""


class AnswerProcess:
    """A process apart, which may crash in a decoder, run out of memory or be stopped at the limit.

    After that another one takes its place, while its own item is answered by an ``AnswerError``.

    Args:
        function: picklable; called with None first, to make itself ready, for which there is no limit.
        time_limit_seconds: for each item; waiting for the items before it does not count.

    Raises:
        Exception: what ``function`` raises when it makes itself ready.
    """

    def __init__(self, function: Callable[[Any], Any], *, time_limit_seconds: float) -> None:
        self.time_limit_seconds = time_limit_seconds
        self._function = function
        self._lock = Lock()
        self._is_closed = False
        self._worker = self._started()
        try:
            self._await_ready()
        except BaseException:
            self.close()
            raise

    def ask(self, item: Any) -> Any:
        """The answer to one item; waits for those before it.

        Raises:
            AnswerError: if the process died or the time is over.
            Exception: what ``function`` raises.
        """
        with self._lock:
            if not self._is_ready:
                self._await_ready()
            worker = self._worker
            worker.give(0, item)
            if not worker.connection.poll(self.time_limit_seconds):
                self._replace()
                raise AnswerError(
                    f"it took more than {self.time_limit_seconds:g} seconds, the limit of "
                    "time_limit_seconds; try a shorter or smaller video"
                )
            result = worker.receive([item])
            if isinstance(result, ProcessDiedError):
                self._replace()
                raise AnswerError("the process that worked on it died; try another video")
            return result

    def close(self) -> None:
        """End the process, also while it works."""
        self._is_closed = True
        self._worker.process.kill()
        with self._lock:
            self._worker.end()

    def _started(self) -> Worker:
        self._is_ready = False
        worker = Worker(self._function)
        worker.receive([None])  # that it runs
        worker.give(0, None)
        return worker

    def _await_ready(self) -> None:
        result = self._worker.receive([None])
        if isinstance(result, ProcessDiedError):
            self._replace()
            raise AnswerError("the process ended while it loaded the net; see the terminal")
        self._is_ready = True

    def _replace(self) -> None:
        self._worker.process.kill()  # it may be stuck in a decoder
        self._worker.end()
        if not self._is_closed:
            self._worker = self._started()
