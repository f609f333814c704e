#!/usr/bin/env bash
# OpenVINO 2026.4.1 on Linux: the CPU plugin gives the thread that loads it a stack for signals of its own (sigaltstack,
# 11,568 bytes), and unmaps it when its core goes. If the last reference is dropped in another thread, as the garbage
# collector or a pool of threads may do, the first thread keeps the address of memory that is gone. What was seen next in a
# larger program: the process ended by SIGSEGV, without a word from faulthandler, at the next signal that Python handles
# (in tests: the end of a process that it had started). This script only looks at the address.
#
# Guess before: a library for inference leaves the signal stack of its caller alone.
# Seen: before, no signal stack; with a core in use one that is mapped; when the core was dropped in the same thread,
# none again; when it was dropped in another thread, an address that is not mapped. The same within one thread, of two
# cores in use, when the older is dropped before the younger, as nncf 3.4.0 does under accuracy control. One core that is kept for
# the life of the process avoids it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "openvino==2026.4.1" "numpy==2.4.6"
cd "$folder"
cat > run.py <<'P'
import ctypes
import threading
from pathlib import Path

import openvino as ov


class Stack(ctypes.Structure):
    _fields_ = [("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


def signal_stack():
    stack = Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    if stack.address is None:
        return "none"
    places = [line.split()[0] for line in Path("/proc/self/maps").read_text().splitlines()]
    bounds = [[int(bound, 16) for bound in place.split("-")] for place in places]
    is_mapped = any(low <= stack.address < high for low, high in bounds)
    return "mapped" if is_mapped else "not mapped"


def used_core():
    core = ov.Core()
    core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return core


found = {"before": signal_stack()}
cores = [used_core()]
found["in use"] = signal_stack()
cores.clear()
found["dropped in this thread"] = signal_stack()
cores = [used_core()]
thread = threading.Thread(target=cores.clear)
thread.start()
thread.join()
found["dropped in another thread"] = signal_stack()


def drop_the_older_first():
    cores = [used_core(), used_core()]
    del cores[0]
    del cores[0]
    found["of two, the older dropped first"] = signal_stack()


thread = threading.Thread(target=drop_the_older_first)
thread.start()
thread.join()
print(found)
assert list(found.values()) == ["none", "mapped", "none", "not mapped", "not mapped"]
P
"$folder/venv/bin/python" run.py
