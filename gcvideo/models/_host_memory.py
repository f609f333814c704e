"""Control over what the C library does with freed memory."""

import ctypes
import sys
from collections.abc import Callable

# Numbers in malloc.h of the GNU C library, and its initial values.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_MMAP_MAX = 65_536
_TRIM_THRESHOLD = 2**26  # bytes; what a program with large tensors reaches by itself


def keep_freed_memory() -> bool:
    """Let this process reuse freed memory instead of returning it to the system.

    The GNU C library takes memory for large tensors from the system and returns it when they are freed.
    Every feature map then lies on fresh pages, which the system clears first; on a CPU, that takes
    longer than many operators that write them. Costs: the process keeps its peak of memory until it
    ends. Forked processes inherit the setting.

    Returns:
        Whether it could be set; on other systems and C libraries nothing happens.
    """
    return _set(num_mappings=0, trim_threshold=-1)


def return_freed_memory() -> bool:
    """Undo :func:`keep_freed_memory` and return what is free now."""
    return _set(num_mappings=_MMAP_MAX, trim_threshold=_TRIM_THRESHOLD) and trim_freed_memory()


def trim_freed_memory() -> bool:
    """Return to the system what is free now; what is freed later is treated as before.

    Returns:
        Whether the C library could be asked.
    """
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)
    return trim is not None


def _set(*, num_mappings: int, trim_threshold: int) -> bool:
    mallopt = _function("mallopt")
    if mallopt is None:
        return False
    settings = (_M_MMAP_MAX, num_mappings), (_M_TRIM_THRESHOLD, trim_threshold)
    return all(mallopt(name, value) == 1 for name, value in settings)


def _function(name: str) -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), name, None)  # absent from other C libraries
