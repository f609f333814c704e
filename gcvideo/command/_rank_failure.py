"""A rank that dies ends the job within seconds, and says why.

A collective does not fail on every backend when a rank is gone, and where it does it names no reason;
agents of torchrun on other machines notice nothing either. So each rank keeps a connection to the first,
which the kernel closes when a process ends, however it ends. Messages are JSON, one a line.
"""

import json
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Event, Lock, Thread, Timer
from typing import Any, NamedTuple, TextIO

from gcvideo._console import Console

_MAIN_SAYS_SECONDS = 5.0
# A rank that has failed with the one that died may be heard before it.
_GRACE_SECONDS = 1.0
_JOIN_SECONDS = 60.0
_OBSERVER = logging.getLogger("lightning.fabric.strategies.launchers.subprocess_script")


class RankFailure(NamedTuple):
    """What has ended a job: the first rank to fail, and why."""

    rank: int
    reason: str


class FirstRankWatch:
    """On the first rank: learns which rank failed or died first, prints it and tells all others.

    A process that then does not end by itself is ended, for it may wait for one that is gone. ``host``
    is the address to listen on, "" for all; ``num_ranks`` is 1 where their number is not known.
    """

    def __init__(self, host: str, num_ranks: int = 1) -> None:
        self._server = socket.create_server((host, 0), backlog=1024)
        self._num_others = num_ranks - 1
        self._token = secrets.token_hex(8)
        self._lock = Lock()
        self._connections: list[socket.socket] = []
        self._died: list[RankFailure] = []
        self._reported: list[RankFailure] = []
        self._failure: RankFailure | None = None
        self._decided = Event()
        self._closed = False
        self._ending: Timer | None = None
        _close_in_forks(lambda: (self._server, *self._connections))
        _OBSERVER.addFilter(self._hold)
        Thread(target=self._accept, daemon=True).start()

    def address(self, host: str) -> str:
        """What the other ranks need to connect."""
        return f"{host}:{self._server.getsockname()[1]}:{self._token}"

    def fail(self, reason: str) -> RankFailure:
        """Report that this rank has failed; returns what has ended the job."""
        self._await_others()
        self._note(self._reported, RankFailure(0, reason))
        self._decided.wait()
        assert self._failure is not None
        return self._failure

    def go_on(self) -> None:
        """Let this process live on after a failure, for the next job of a sweep."""
        if self._ending is not None:
            self._ending.cancel()

    def close(self) -> None:
        """Let all ranks end without a failure."""
        self._await_others()
        _OBSERVER.removeFilter(self._hold)
        with self._lock:
            self._closed = True
            for connection in self._connections:
                _say(connection, done=True)
        self._server.close()

    def _await_others(self) -> None:
        # A rank that is still starting would otherwise look for this one in vain.
        deadline = time.monotonic() + _JOIN_SECONDS
        while (
            len(self._connections) < self._num_others
            and self._failure is None
            and time.monotonic() < deadline
        ):
            time.sleep(0.1)

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._server.accept()
                Thread(target=self._follow, args=(connection,), daemon=True).start()

    def _follow(self, connection: socket.socket) -> None:
        lines = connection.makefile(encoding="utf-8")
        hello = _heard(lines)
        if hello.get("token") != self._token:
            connection.close()
            return
        _keep_alive(connection)
        with self._lock:
            self._connections.append(connection)
            if self._failure is not None:
                _say(connection, **self._failure._asdict())
        last = _heard(lines)
        if not last:
            reason = _cause_of_death(hello["pid"], hello["host"])
            self._note(self._died, RankFailure(hello["rank"], reason))
        elif "reason" in last:
            self._note(self._reported, RankFailure(hello["rank"], last["reason"]))

    def _note(self, failures: list[RankFailure], failure: RankFailure) -> None:
        with self._lock:
            is_first = not self._died and not self._reported
            failures.append(failure)
            is_alone = not self._connections
        if is_first:
            time.sleep(0.0 if is_alone else _GRACE_SECONDS)
            self._decide()

    def _decide(self) -> None:
        with self._lock:
            if self._closed:
                return
            # Those that were waiting for a dead rank have only failed because of it.
            first = (self._died + self._reported)[0]
            if RankFailure(0, first.reason) in self._reported:
                first = RankFailure(0, first.reason)
            self._failure = first
            if first.rank > 0:
                _print(first)
            for connection in self._connections:
                _say(connection, **first._asdict())
            self._ending = _end_soon()
            self._decided.set()

    def _hold(self, record: logging.LogRecord) -> bool:
        """Lightning's observer of processes kills this one as soon as it has logged that one has died."""
        return not self._decided.wait(_MAIN_SAYS_SECONDS)


class RankWatch:
    """The connection of another rank to the address of a :class:`FirstRankWatch`."""

    def __init__(self, address: str, rank: int) -> None:
        host, port, token = address.rsplit(":", 2)
        self.rank = rank
        try:
            self._socket = socket.create_connection((host, int(port)), timeout=_JOIN_SECONDS)
        except OSError as error:
            raise ConnectionError(
                f"rank {rank} cannot reach the first rank at {host}:{port} ({error}); it has ended, or a "
                "firewall is in the way; see its own output"
            ) from error
        self._socket.settimeout(None)
        _keep_alive(self._socket)
        self._failure: RankFailure | None = None
        self._decided = Event()
        self._closed = False
        _close_in_forks(lambda: (self._socket,))
        _say(self._socket, token=token, rank=rank, pid=os.getpid(), host=socket.gethostname())
        Thread(target=self._listen, daemon=True).start()

    def fail(self, reason: str) -> RankFailure:
        """Report that this rank has failed; returns what has ended the job."""
        _say(self._socket, reason=reason)
        self._decided.wait(_MAIN_SAYS_SECONDS)
        return self._failure or RankFailure(self.rank, reason)

    def close(self) -> None:
        """End without a failure."""
        self._closed = True
        _say(self._socket, done=True)

    def _listen(self) -> None:
        message = _heard(self._socket.makefile(encoding="utf-8"))
        if self._closed or "done" in message:
            return
        if message:
            self._failure = RankFailure(**message)
        else:
            reason = "the process of rank 0 has ended without a message: it was killed or crashed"
            _print(RankFailure(self.rank, reason))
            self._failure = RankFailure(0, reason)
        self._decided.set()
        _end_soon()


def _heard(lines: TextIO) -> dict[str, Any]:
    """The next message; empty if the other side has ended."""
    with suppress(OSError, ValueError):  # also of a line that was cut off
        return json.loads(lines.readline())
    return {}


def _say(connection: socket.socket, **message: Any) -> None:
    # Where the other side has ended, the thread that listens is told.
    with suppress(OSError):
        connection.sendall(json.dumps(message).encode() + b"\n")


def _close_in_forks(opened: Callable[[], Iterable[socket.socket]]) -> None:
    """A loader process may outlive its rank, and must not keep its connections open."""

    def close() -> None:
        for connection in opened():
            with suppress(OSError):
                # Not socket.close, which waits for the files that are made of it.
                os.close(connection.detach())

    if hasattr(os, "register_at_fork"):  # else no process is a copy of this one
        os.register_at_fork(after_in_child=close)


def _keep_alive(connection: socket.socket) -> None:
    """Notice within 40 s a machine that is gone, and cannot close its connections."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _end_soon() -> Timer:
    """The main thread may print what it knows; one that waits for a dead rank would wait for ever."""

    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)

    timer = Timer(_MAIN_SAYS_SECONDS, end)
    timer.daemon = True
    timer.start()
    return timer


def _cause_of_death(pid: int, host: str) -> str:
    status = _exit_status(pid) if host == socket.gethostname() else None
    if status is None:
        return (
            f"process {pid} on {host} ended without a message: it was killed or crashed; its launcher "
            "may say by which signal"
        )
    if status > 0:
        return f"process {pid} ended with status {status} and no message"
    name = signal.Signals(-status).name
    cause = ", as the system does when memory runs out" if -status == signal.SIGKILL else ""
    return f"process {pid} was killed by signal {-status} ({name}){cause}"


def _exit_status(pid: int) -> int | None:
    """Of a child, negative for a signal; left to be collected by whoever started it."""
    if not hasattr(os, "waitid"):
        return None
    for _ in range(20):
        try:
            result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        except ChildProcessError:
            return None
        if result is not None:
            return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
        time.sleep(0.05)  # its connections are closed before it is a zombie
    return None


def _print(failure: RankFailure) -> None:
    message = f"error: rank {failure.rank}: {failure.reason}"
    Console(stderr=True).print(message, soft_wrap=True)
