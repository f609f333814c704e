"""Checks of the limits of the system: cores, shared memory, open files and disk space."""

import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from gcvideo.command._record import processor_name
from gcvideo.data._parallel import default_num_workers, usable_cores
from gcvideo.data.listing._cache import cache_folder
from gcvideo.doctor import Finding, fail, ok, warn

_GIB = 2**30
_MIN_FREE_BYTES = _GIB
_MIN_OPEN_FILES = 1024
_SHARED_MEMORY = Path("/dev/shm")
# Views, frames and pixels of a large batch on one device.
_LARGE_BATCH = (16, 32, 224)
_CGROUP = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def check_processor() -> Finding:
    """The processor, and whether the quota of a container is lower than the number of visible cores."""
    seen = usable_cores()
    quota = _quota()
    text = f"{processor_name()}, {seen} of {os.cpu_count()} cores"
    if quota is not None and quota < seen:
        return warn(
            f"{text}, but the container's quota allows only {quota:g}",
            f"set num_workers={int(quota) if quota >= 2 else 0} (otherwise {default_num_workers()} are "
            f"started) and OMP_NUM_THREADS={max(int(quota), 1)}, or raise the quota",
        )
    return ok(text)


def _quota() -> float | None:
    """The number of cores that the control groups allow; None without a limit."""
    lines = _OWN_CGROUP.read_text().splitlines() if _OWN_CGROUP.is_file() else []
    own = next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")
    limits = []
    # Each unified group of this process may set a limit.
    for folder in (_CGROUP / part for part in (own, *map(str, Path(own).parents))):
        if (folder / "cpu.max").is_file():
            limit, period = (folder / "cpu.max").read_text().split()
            limits += [] if limit == "max" else [int(limit) / int(period)]
    quota, period = (_CGROUP / "cpu" / f"cpu.cfs_{name}_us" for name in ("quota", "period"))
    if quota.is_file() and (limit := int(quota.read_text())) > 0:
        limits.append(limit / int(period.read_text()))
    return min(limits, default=None)


def check_shared_memory() -> Finding:
    """Whether /dev/shm has room for the views that workers pass to their loader."""
    # This needs torch, unlike the other checks here.
    from gcvideo.command._preflight import batch_bytes, bytes_in_flight  # noqa: PLC0415

    if not _SHARED_MEMORY.is_dir():
        return ok(f"no {_SHARED_MEMORY} of limited size on this system")
    usage = shutil.disk_usage(_SHARED_MEMORY)
    num_views, num_frames, size = _LARGE_BATCH
    num_workers = max(default_num_workers(), 1)
    needed = bytes_in_flight(batch_bytes(*_LARGE_BATCH), num_workers)
    text = (
        f"{usage.free / _GIB:.2f} of {usage.total / _GIB:.2f} GiB free in {_SHARED_MEMORY}; "
        f"{num_workers} workers with batches of {num_views} views of {num_frames} x {size} x {size} "
        f"need about {needed / _GIB:.2f} GiB"
    )
    if usage.free < max(_MIN_FREE_BYTES, needed):
        return warn(
            text,
            "workers die with SIGBUS when it is full: start the container with --shm-size=8g or "
            "--ipc=host, or lower num_workers",
        )
    return ok(text)


def check_open_files() -> Finding:
    """The limit on open files per process."""
    if find_spec("resource") is None:
        return ok("this system sets no limit per process")
    import resource  # noqa: PLC0415 (Unix only)

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _MIN_OPEN_FILES:
        return warn(
            f"at most {soft} per process",
            "each tensor that a worker passes on is an open file, and training stops with 'too many "
            "open files' above the limit: run `ulimit -n 4096` first (an administrator may have to "
            "raise the hard limit)",
        )
    return ok(f"at most {'any' if soft == resource.RLIM_INFINITY else soft} per process")


def check_folder(variable: str) -> Finding:
    """Whether the folder of an environment variable, TMPDIR or GCVIDEO_CACHE, is writable and has space.

    If it does not exist, its nearest parent is tested, since a check must leave nothing behind.
    """
    folder = cache_folder() if variable == "GCVIDEO_CACHE" else Path(tempfile.gettempdir())
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
        return fail(text, f"make it a writable folder with free space, {remedy}")
    free = shutil.disk_usage(place).free
    text = f"{folder} is writable, {free / _GIB:.1f} GiB free"
    if free < _MIN_FREE_BYTES:
        return warn(text, f"free some space, {remedy}")
    return ok(text)
