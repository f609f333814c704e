import ctypes
import resource

import pytest
import torch

from gcvideo.models import _host_memory as host_memory

NUM_BYTES = 2**26


def new_pages():
    """Pages that the system hands out while four large tensors come and go."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(NUM_BYTES // 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="no GNU C library")
def test_freed_memory_is_used_again_until_it_is_returned():
    try:
        assert host_memory.return_freed_memory()
        first = new_pages()
        assert host_memory.keep_freed_memory()
        new_pages()
        second = new_pages()
    finally:
        assert host_memory.return_freed_memory()
    third = new_pages()
    # All of four tensors; a system with huge pages counts fewer, and the machine has other guests.
    assert second < first / 10
    assert third > 10 * second


def test_nothing_is_done_on_other_systems(monkeypatch):
    monkeypatch.setattr(host_memory.sys, "platform", "darwin")
    assert not host_memory.keep_freed_memory()
    assert not host_memory.return_freed_memory()
    assert not host_memory.trim_freed_memory()


def test_nothing_is_done_with_another_c_library(monkeypatch):
    monkeypatch.setattr(host_memory.ctypes, "CDLL", lambda name: object())
    assert not host_memory.keep_freed_memory()
