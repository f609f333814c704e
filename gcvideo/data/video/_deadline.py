"""A time limit for work on a file: within this process, and what is said where a process was killed for it."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from threading import Thread
from typing import TypeVar

from gcvideo.data._process_error import ProcessDiedError, ProcessStuckError
from gcvideo.data.video._container import VideoReadError

T = TypeVar("T")

# Slices of a budget, each of which counts once however long it took: a process that was stopped, or a
# machine that slept, comes back to a clock that is far ahead, and the file is none the worse for it.
_NUM_SLICES = 20


def run_within(seconds: float | None, path: str, work: Callable[[], T]) -> T:
    """The result of ``work``, or an error that names the file when the time is over.

    The work runs in its own thread, which is abandoned if it is stuck, since a read from a dead network
    mount cannot be stopped. The thread does not keep Python from exiting. Without a limit, there is none.
    Time in which the process itself was stopped does not count.

    Raises VideoReadError for ``path`` if the time is over, and the exceptions of ``work``.
    """
    if seconds is None:
        return work()
    future: Future[T] = Future()

    def fulfil() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    # Not a ThreadPoolExecutor, because Python waits for its threads at exit.
    thread = Thread(target=fulfil, name=f"read {path}", daemon=True)
    thread.start()
    for _ in range(_NUM_SLICES):
        thread.join(seconds / _NUM_SLICES)
        if future.done():
            break
    if not future.done():
        raise VideoReadError(
            path,
            f"it was not read within its budget of {seconds:g} seconds",
            "check the disk or mount it lies on, or raise data.time_budget_seconds",
        )
    return future.result()


def finish_within(
    seconds: float | None,
    path: str,
    steps: Iterator[T | None],
    progress: Callable[[], None] | None = None,
) -> T:
    """The first result of ``steps`` that is not None; each step has the time limit of :func:`run_within`.

    After each of the others, ``progress`` is called.
    """
    while (found := run_within(seconds, path, partial(next, steps))) is None:
        if progress is not None:
            progress()
    return found


def death_as_read_error(error: ProcessDiedError, path: str) -> VideoReadError:
    """What is wrong with a file whose process died, or was killed at the time limit."""
    if isinstance(error, ProcessStuckError):
        return VideoReadError(
            path,
            f"it was not read within its budget of {error.seconds:g} seconds, and its process was killed",
            "check the disk or mount it lies on, or raise time_budget_seconds",
        )
    reason, _, remedy = str(error).partition("; ")
    return VideoReadError(path, reason, remedy)
