"""Work on many items in processes, with a progress bar.

Each process has its own pipe. A process that is killed while it sends therefore blocks no other, and the item
that killed it is known. The pools of concurrent.futures, loky and pebble lack one or the other.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from gcvideo._progress import with_progress
from gcvideo.data._process_error import ProcessDiedError, ProcessStuckError, ending_of

T = TypeVar("T")
R = TypeVar("R")

# Not fork, since a forked process would copy the locks of PyAV and torch but not their threads. A fork
# server imports the script, which may take seconds, once for all workers.
if "forkserver" in multiprocessing.get_all_start_methods():
    _PROCESSES = multiprocessing.get_context("forkserver")
    _PROCESSES.set_forkserver_preload(["__main__", __name__])
else:
    _PROCESSES = multiprocessing.get_context("spawn")
_COPIES = multiprocessing.get_context("fork") if sys.platform == "linux" else None
_SECONDS_TO_END = 5.0
_NUM_TICKS = 20
_PROGRESS = b"progress"
_parent: Connection | None = None  # of a process that works on items


def parallel_map(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    description: str | None,
    num_workers: int | None = None,
    fork: bool = False,
    seconds: float | None = None,
) -> Iterator[tuple[int, R | ProcessDiedError]]:
    """Index and result of each item as it finishes, with one progress bar.

    If a process dies, only its own item is affected; it is tried again, alone, after all others. Leaving
    the iteration early ends the processes. Memory does not grow with the number of items.

    Args:
        function: work on one item; it, the items and the results must be picklable.
        items: arguments, each of which is sent to a free process.
        description: text of the bar; None: no bar.
        num_workers: number of processes; None: one per core, at most 8; 0: no further process.
        fork: whether the first processes are copies of this one on Linux, which saves seconds of importing;
            only for functions that neither use a GPU nor print.
        seconds: time after which the process of an item is killed, counted from its start or its last
            :func:`tell_progress`, unless there is no further process; time in which this process is stopped
            or its machine sleeps does not count. None: no limit.

    Raises:
        ValueError: if ``num_workers`` is negative.
        RuntimeError: if processes cannot start.
        Exception: the first exception of ``function``.
    """
    if num_workers is not None and num_workers < 0:
        raise ValueError(f"num_workers is {num_workers}; give 0 for no further process, or more")
    num_workers = default_num_workers() if num_workers is None else num_workers
    if num_workers:
        results = _with_second_chance(function, items, num_workers, fork, seconds)
    else:
        results = ((index, function(item)) for index, item in enumerate(items))
    return results if description is None else with_progress(results, len(items), description)


def tell_progress() -> None:
    """In the ``function`` of :func:`parallel_map`: its time starts again, since the item is not stuck.

    Each call is a message to the parent process, so a few in a second will do. Without further processes,
    there is no time limit, and nothing happens.
    """
    if _parent is not None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the parent is gone
            _parent.send_bytes(_PROGRESS)


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_num_workers() -> int:
    """One worker per usable core, at most 8; none if there is only one core."""
    cores = usable_cores()
    return min(cores, 8) if cores > 1 else 0


def _with_second_chance(
    function: Callable[[T], R],
    items: Sequence[T],
    num_workers: int,
    fork: bool,
    seconds: float | None,
) -> Generator[tuple[int, R | ProcessDiedError], None, None]:
    died: list[int] = []
    everything = range(len(items))
    for index, result in _distribute(function, items, everything, num_workers, fork, seconds):
        if type(result) is ProcessDiedError:
            died.append(index)
        else:
            yield index, result
    # Alone, because another process may have used up the memory.
    yield from _distribute(function, items, died, 1, False, seconds)


def _distribute(
    function: Callable[[T], R],
    items: Sequence[T],
    indices: Sequence[int],
    num_workers: int,
    fork: bool,
    seconds: float | None,
) -> Generator[tuple[int, R | ProcessDiedError], None, None]:
    waiting = iter(indices)
    following = next(waiting, None)
    workers: list[Worker] = []
    watch = _Watch(seconds)
    try:
        for _ in range(min(num_workers, len(indices))):
            workers.append(Worker(function, workers if fork else None))
        while workers:
            for worker in watch.wait_for(workers):
                index, result = worker.index, worker.receive(items)
                if result is _PROGRESS:
                    worker.seconds = 0.0
                    continue
                if isinstance(result, ProcessDiedError):
                    workers.remove(worker)
                    if following is not None:
                        workers.append(Worker(function))
                elif following is not None:
                    worker.give(following, items[following])
                    following = next(waiting, None)
                else:
                    workers.remove(worker)
                    worker.end()
                if index is not None:
                    yield index, result
    finally:
        _end_all(workers)


def _end_all(workers: "Sequence[Worker]") -> None:
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.end()


class _Watch:
    """Waits for processes, and kills those whose item takes too long, if the time is limited."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._tick = None if seconds is None else seconds / _NUM_TICKS
        self._before = time.monotonic()

    def wait_for(self, workers: "Sequence[Worker]") -> "list[Worker]":
        """Those that have a result, or will have none."""
        ready = wait([worker.connection for worker in workers], self._tick)
        busy = [worker for worker in workers if worker.connection not in ready]
        if self._tick is not None and self._seconds is not None:
            now = time.monotonic()
            # After a pause of this process or its machine, the clock is far ahead.
            passed, self._before = min(now - self._before, self._tick), now
            for worker in busy:
                worker.seconds += passed
                if worker.index is not None and worker.seconds >= self._seconds:
                    # At once, since a decoder that hangs does not react to less.
                    worker.process.kill()
                    worker.limit = self._seconds
        return [w for w in workers if w.connection in ready or w.limit is not None]


class Worker:
    """A process that works on one item at a time, so that the item that killed it is known."""

    def __init__(
        self, function: Callable[[Any], Any], siblings: "Sequence[Worker] | None" = None
    ) -> None:
        self.index: int | None = None  # until it reports that it has started
        self.seconds = 0.0  # since it has its item
        self.limit: float | None = None  # of the seconds, if it was killed for them
        self.connection, theirs = _PROCESSES.Pipe()
        context, ends = _PROCESSES, []
        if siblings is not None and _COPIES is not None:
            # A copy must close the parent's ends, or processes would not notice that the parent is gone.
            context = _COPIES
            ends = [*(sibling.connection for sibling in siblings), self.connection]
        self.process = context.Process(target=_serve, args=(function, theirs, ends), daemon=True)
        with warnings.catch_warnings():
            # Python warns of other threads, but a copy takes none of their locks.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.process.start()
        theirs.close()

    def give(self, index: int, item: Any) -> None:
        self.index, self.seconds = index, 0.0
        with suppress(BrokenPipeError, ConnectionResetError):  # receive() reports its death
            self.connection.send(item)

    def receive(self, items: Sequence[Any]) -> Any:
        if self.limit is not None and self.index is not None:
            self.end()
            return ProcessStuckError(repr(items[self.index]), self.limit)
        try:
            message = self.connection.recv_bytes()
        except (EOFError, OSError):
            self.process.join(_SECONDS_TO_END)
            exit_code = self.end()
            if self.index is not None:
                return ProcessDiedError(repr(items[self.index]), exit_code)
            raise RuntimeError(
                f"a process ended before its first item ({ending_of(exit_code)}); start the work in "
                "a file, below `if __name__ == '__main__':`, or give num_workers=0"
            ) from None
        if message == _PROGRESS:
            return _PROGRESS
        succeeded, value = pickle.loads(message)
        if not succeeded:
            raise value
        return value

    def end(self) -> int | None:
        self.process.terminate()
        self.process.join(_SECONDS_TO_END)
        self.process.kill()
        self.process.join(_SECONDS_TO_END)
        if self.process.is_alive():
            # It waits for a disk that does not answer. Python would wait for it at its own end.
            multiprocessing.process._children.discard(self.process)  # pyright: ignore
        self.connection.close()
        return self.process.exitcode


def _serve(
    function: Callable[[Any], Any], connection: Connection, ends: Sequence[Connection]
) -> None:
    global _parent
    _parent = connection
    for end in ends:
        end.close()
    # Ctrl-C reaches all processes, but only the parent reacts. It ends its workers with SIGTERM,
    # which must unwind the stack, so that drafts of files are removed.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _unwind)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        connection.send((True, None))
        while True:
            item = connection.recv()
            try:
                message = pickle.dumps((True, function(item)))
            except Exception as error:
                error.add_note(f"in a worker process:\n{traceback.format_exc()}")
                message = pickle.dumps((False, error))
            connection.send_bytes(message)


def _unwind(*_: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the clean-up
    sys.exit(1)
