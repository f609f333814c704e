"""One process for each part of an output, and none beside one that works on all of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gcvideo.command._output_check import telling
from gcvideo.command._record_lock import HAS_LOCKS, take
from gcvideo.command._shard import Shard

_WHOLE = 1 << 30  # byte of a process that works on everything; far behind those of parts
_MAX_NAMED_PARTS = 1024


class OutputInUseError(ValueError):
    """Another process works on the same output."""


@contextmanager
def sole_work(output: Path, key: str, shard: Shard | None) -> Iterator[None]:
    """Within, no other process works on the same part of ``output``, nor on all of it.

    Each part has a byte of one file, and a process without a part has all of them. File systems without locks
    have none, nor has Windows.

    Args:
        output: file, or folder that exists.
        key: its key, for messages.
        shard: part of this process; None: everything.

    Raises:
        OutputInUseError: if another process is at work.
    """
    if not HAS_LOCKS:
        yield
        return
    folder = output if output.is_dir() else output.parent
    path = folder / ".lock" if output.is_dir() else output.with_name(f".{output.name}.lock")
    with telling(output, key):
        folder.mkdir(parents=True, exist_ok=True)
        file = _locked(path, output, shard)
    with file:
        try:
            yield
        finally:
            if shard is None:
                path.unlink(missing_ok=True)


def _locked(path: Path, output: Path, shard: Shard | None) -> BinaryIO:
    while True:
        file = path.open("a+b", buffering=0)
        try:
            _lock(file, output, shard)
            with suppress(FileNotFoundError):
                if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                    return file
        except BaseException:
            file.close()
            raise
        file.close()  # the process that had it has deleted it meanwhile


def _lock(file: BinaryIO, output: Path, shard: Shard | None) -> None:
    first, length = (0, 0) if shard is None else (shard.index, 1)  # length 0: to infinity
    if take(file, first, length):
        return
    if not take(file, _WHOLE, 1):
        who = "another process, which works on all of it"
    elif shard is not None:
        who = f"another process, which works on the same part {shard}"
    else:
        busy = [str(part) for part in range(_MAX_NAMED_PARTS) if not take(file, part, 1)]
        who = f"other processes, which work on parts of it: number {', '.join(busy)}"
    raise OutputInUseError(f"'{output}' is being written by {who}; wait for it, or stop it")
