"""The highest memory of a device during some work."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from gcvideo.models import trim_freed_memory

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """What ``watched_memory`` has seen.

    Args:
        num_bytes: most that was in use beyond what had been before; None where the system does not tell.
    """

    num_bytes: int | None = None


@contextmanager
def watched_memory(device: torch.device) -> Iterator[PeakMemory]:
    """Watch the memory of a device; on a CPU the resident memory of this process (Linux).

    Resident memory has pages that the C library keeps between pieces in use, and work space of operators.
    """
    peak = PeakMemory()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield peak
        peak.num_bytes = torch.cuda.max_memory_allocated(device) - before
        return
    gc.collect()
    trim_freed_memory()
    before, is_watched = _resident("VmRSS"), False
    with suppress(OSError):  # a system that has no such file, or does not let us write to it
        _RESET.write_text("5")
        is_watched = before is not None
    yield peak
    after = _resident("VmHWM")
    if is_watched and before is not None and after is not None:
        peak.num_bytes = max(0, after - before)


def _resident(name: str) -> int | None:
    with suppress(OSError, StopIteration):
        lines = _STATUS.read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])
    return None
