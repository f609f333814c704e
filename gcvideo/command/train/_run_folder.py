"""The folder of a run, which belongs to one run, and to one process at a time."""

import errno
import itertools
import json
import os
import shlex
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from gcvideo._console import Console
from gcvideo._hint import override
from gcvideo._invocation import command_line
from gcvideo.command._preflight import check_output_folder
from gcvideo.command._rank_config import global_rank

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_BUSY = (errno.EACCES, errno.EAGAIN)
_TINY = 4096  # bytes of a log that says nothing beyond the message on the screen


class RunFolderError(ValueError):
    """A folder that belongs to another process or another run."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Within, the folder belongs to this process, for all machines that share the file system.

    The system releases the lock when the process ends, however it ends. It is a record lock of
    POSIX, which loader processes do not inherit: they may outlive a killed run by seconds.
    """
    check_output_folder(folder, num_bytes=0)
    path = folder / ".lock"
    if fcntl is None:
        try:
            with FileLock(path, blocking=False):
                yield
        except Timeout:
            raise _busy(folder, "another process") from None
        return
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _BUSY:
                file.seek(0)
                raise _busy(folder, file.read()) from None
            Console().print(
                f"warning: '{folder}' cannot be locked ({error.strerror}): the file system has no locks; "
                "make sure that no other process trains there",
                soft_wrap=True,
            )
        if not (path.is_file() and os.path.samestat(os.fstat(file.fileno()), path.stat())):
            raise _busy(folder, "another process")  # which has just removed it
        file.truncate(0)
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {started}")
        file.flush()
        yield


def _busy(folder: Path, holder: str) -> RunFolderError:
    return RunFolderError(
        f"'{folder}' is in use by {holder}; wait for it or stop it, or give this run a folder of its own "
        "with hydra.run.dir=..."
    )


def new_folder(path: Path) -> Path:
    """Make a folder that no other run uses: ``path``, or ``path`` with _2, _3, ... appended."""
    check_output_folder(path.parent, num_bytes=0)
    for number in itertools.count(1):
        folder = path if number == 1 else path.with_name(f"{path.name}_{number}")
        # If several processes make it at the same moment, one succeeds.
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError("there is no last number")


def discard_unbegun(folder: Path) -> None:
    """Remove a folder made by :func:`new_folder` whose run or command failed before it wrote anything.

    What Hydra writes before a job, and the log of the failed start, are no reason to keep it.
    """
    with suppress(OSError, RunFolderError), held(folder):
        logs = [path for path in folder.iterdir() if path.suffix == ".log"]
        others = {path.name for path in folder.iterdir()} - {path.name for path in logs}
        if others <= {".hydra", ".lock"} and all(log.stat().st_size < _TINY for log in logs):
            shutil.rmtree(folder)


def check_unused(folder: Path) -> None:
    """Refuse a folder with checkpoints, which could later be taken for those of a new run."""
    found = sorted(path.name for path in (folder / "checkpoints").glob("[!.]*.ckpt"))
    if found:
        raise RunFolderError(
            f"'{folder}' already has a run ({', '.join(found)}); continue it with "
            f"`{command_line('train')} {shlex.quote(override('resume', folder))}`, give the new run another "
            "folder with hydra.run.dir=..., or delete this one"
        )


def begin_run(folder: Path) -> str:
    """A name for a new run, which stands in ``config.yaml`` and in every checkpoint."""
    check_unused(folder)
    # What an earlier run has left about its end and its videos.
    for name in ("results.json", "bad_videos.csv"):
        (folder / name).unlink(missing_ok=True)
    return uuid.uuid4().hex


def finished_metrics(folder: Path) -> dict[str, float]:
    """Say that a run has nothing left to do; returns its metrics."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    if global_rank() == 0:
        Console().print(
            f"the run in '{folder}' is finished: {results['epochs']} epochs, {results['steps']} steps; "
            "nothing is changed. To train further, start a new run from its weights with "
            "weights=checkpoint weights.path=...",
            soft_wrap=True,
        )
    return results["metrics"]
