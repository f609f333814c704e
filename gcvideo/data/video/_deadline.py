"""The time that work on a file may take."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

from gcvideo.data.video._container import VideoReadError

T = TypeVar("T")


def run_within(seconds: float | None, path: str, work: Callable[[], T]) -> T:
    """The result of ``work``, or an error that names the file once its time is over.

    The work runs in a thread of its own, which is left behind if it is stuck: a read from a dead
    network mount cannot be ended; it is only no longer waited for. It does not keep Python from exiting.

    Args:
        seconds: budget of the work; None: no limit, and no thread.
        path: file that is worked on.
        work: function whose exceptions are raised here as they are.

    Raises:
        VideoReadError: if the budget is used up.
    """
    if seconds is None:
        return work()
    future: Future[T] = Future()

    def fulfil() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    # Not a ThreadPoolExecutor: Python waits for its threads at exit.
    thread = Thread(target=fulfil, name=f"read {path}", daemon=True)
    thread.start()
    thread.join(seconds)
    if not future.done():
        raise VideoReadError(
            path,
            f"it was not read within its budget of {seconds:g} seconds",
            "check the disk or mount it lies on, or raise data.time_budget_seconds",
        )
    return future.result()
