import shutil
from pathlib import Path

from gcvideo.command._preflight import batch_bytes, bytes_in_flight
from gcvideo.data._parallel import default_num_workers
from gcvideo.doctor._finding import Finding

_GIB = 2**30
_SHARED_MEMORY = Path("/dev/shm")
_MIN_BYTES = _GIB
# Views, frames and pixels of a large step on one device.
_LARGE_BATCH = (16, 32, 224)


def check_shared_memory() -> Finding:
    """Whether /dev/shm can hold the views that workers hand to their loader."""
    if not _SHARED_MEMORY.is_dir():
        return Finding("ok", f"this system has no {_SHARED_MEMORY} of a limited size")
    usage = shutil.disk_usage(_SHARED_MEMORY)
    num_views, num_frames, size = _LARGE_BATCH
    num_workers = max(default_num_workers(), 1)
    needed = bytes_in_flight(batch_bytes(*_LARGE_BATCH), num_workers)
    text = (
        f"{usage.free / _GIB:.2f} of {usage.total / _GIB:.2f} GiB free in {_SHARED_MEMORY}; "
        f"{num_workers} workers with batches of {num_views} views of {num_frames} x {size} x {size} "
        f"need about {needed / _GIB:.2f} GiB"
    )
    if usage.free < max(_MIN_BYTES, needed):
        return Finding(
            "warn",
            text,
            "workers die of SIGBUS where it is full: start the container with --shm-size=8g or "
            "--ipc=host, or lower num_workers",
        )
    return Finding("ok", text)
