"""Checks that outputs can be written, made before hours of work instead of after them."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STANDARD_OUTPUT = "-"
_REASONS = {
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "no space is left on the file system",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "it would be larger than files may be",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "a file is in the way",
}


class OutputError(ValueError):
    """A file or folder cannot be written."""


def check_file(path: str | Path, key: str, *, remedy: str | None = None) -> None:
    """Raise OutputError unless the file of a key can be written and its folder made; leaves neither behind."""
    path = Path(path)
    with telling(path, key, remedy=remedy):
        if path.is_dir():
            raise OutputError(f"{key} is '{path}', which is a folder; give the name of a file")
        prove_writable(path.parent)


def check_folder(folder: str | Path, key: str) -> None:
    """Raise OutputError unless a folder can be made, or written to if it exists."""
    with telling(Path(folder), key):
        prove_writable(Path(folder))


def make_folder(folder: str | Path, key: str) -> None:
    """Make a folder; raise OutputError unless it can be written to."""
    with telling(Path(folder), key):
        Path(folder).mkdir(parents=True, exist_ok=True)
        prove_writable(Path(folder))


@contextmanager
def telling(path: Path, key: str, *, remedy: str | None = None) -> Iterator[None]:
    """Within, an error of the file system becomes an OutputError with a remedy."""
    try:
        yield
    except OSError as error:
        remedy = remedy or f"make it writable, or choose another with {key}=..."
        raise OutputError(f"'{path}' cannot be written: {reason(error)}; {remedy}") from error


def prove_writable(folder: Path) -> None:
    """Write a temporary file into a folder, or into its nearest parent that exists."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".preflight-", buffering=0) as file:
        file.write(b"written before the work starts")
        # A full network file system may report it only here.
        os.fsync(file.fileno())


def reason(error: OSError) -> str:
    """An error of the file system in words."""
    return _REASONS.get(error.errno or 0, error.strerror or str(error))
