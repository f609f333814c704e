"""A time limit for work on a file."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

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
