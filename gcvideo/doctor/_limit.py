import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from gcvideo.data.listing._cache import cache_folder
from gcvideo.doctor._finding import Finding

_GIB = 2**30
_MIN_FREE_BYTES = _GIB
_MIN_OPEN_FILES = 1024


def check_open_files() -> Finding:
    """The limit on open files of a process."""
    if find_spec("resource") is None:
        return Finding("ok", "this system sets no limit per process")
    import resource  # noqa: PLC0415 (Unix only)

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _MIN_OPEN_FILES:
        return Finding(
            "warn",
            f"at most {soft} per process",
            "each tensor a worker hands over is an open file, and training ends with 'too many open "
            "files' where they run out: run `ulimit -n 4096` before, for which an administrator may "
            "have to raise the hard limit",
        )
    return Finding("ok", f"at most {'any' if soft == resource.RLIM_INFINITY else soft} per process")


def check_temporary_folder() -> Finding:
    """That temporary files can be written."""
    return _check_folder(Path(tempfile.gettempdir()), "TMPDIR")


def check_cache_folder() -> Finding:
    """That the demo set and long sample lists can be kept."""
    return _check_folder(cache_folder(), "GCVIDEO_CACHE")


def _check_folder(folder: Path, variable: str) -> Finding:
    """What ``variable`` in the environment can move is written to and has space.

    A folder that does not exist yet is tried at its nearest parent, for a check leaves nothing behind.
    """
    remedy = f"or set {variable} to another folder"
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-", buffering=0) as file:
            file.write(b"0" * 4096)
            os.fsync(file.fileno())
    except OSError as error:
        text = f"{folder} cannot be written to ({error.strerror})"
        return Finding("fail", text, f"make it a folder with room that you may write to, {remedy}")
    free = shutil.disk_usage(place).free
    text = f"{folder} is writable, {free / _GIB:.1f} GiB free"
    if free < _MIN_FREE_BYTES:
        return Finding("warn", text, f"make room, {remedy}")
    return Finding("ok", text)
