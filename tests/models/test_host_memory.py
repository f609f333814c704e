import ctypes
import resource
import subprocess
import sys

import pytest

from gcvideo.models import host_memory

NUM_BYTES = 2**26

SCRIPT = f"""
import resource
import torch
from gcvideo.models.host_memory import keep_freed_memory, return_freed_memory

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones({NUM_BYTES} // 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1])

print(new_pages(), keep_freed_memory())
new_pages()
print(new_pages(), resident())
print(return_freed_memory(), resident())
print(new_pages())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="no GNU C library")
def test_freed_memory_is_used_again_until_it_is_returned():
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    first, done, second, kept, undone, returned, third = run.stdout.split()
    pages = NUM_BYTES // resource.getpagesize()
    # Not all at once: a system with huge pages counts fewer.
    assert (done, undone) == ("True", "True")
    assert int(second) < int(first) / 10
    assert int(third) > 10 * int(second)
    assert int(kept) - int(returned) > pages // 2


def test_nothing_is_done_on_other_systems(monkeypatch):
    monkeypatch.setattr(host_memory.sys, "platform", "darwin")
    assert not host_memory.keep_freed_memory()
    assert not host_memory.return_freed_memory()


def test_nothing_is_done_with_another_c_library(monkeypatch):
    monkeypatch.setattr(host_memory.ctypes, "CDLL", lambda name: object())
    assert not host_memory.keep_freed_memory()
