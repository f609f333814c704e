"""The stack on which a thread handles signals."""

import ctypes
from pathlib import Path


class _SignalStack(ctypes.Structure):
    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def can_handle_signals():
    """Whether the stack that this thread was given for signals, if any, is memory that it has (Linux)."""
    stack = _SignalStack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    places = [line.split()[0] for line in Path("/proc/self/maps").read_text().splitlines()]
    bounds = [[int(bound, 16) for bound in place.split("-")] for place in places]
    return stack.address is None or any(low <= stack.address < high for low, high in bounds)
