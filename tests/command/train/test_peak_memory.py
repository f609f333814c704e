import sys

import numpy as np
import pytest
import torch

from gcvideo.command.train import _peak_memory as peak_memory
from gcvideo.command.train._peak_memory import watched_memory

CPU, MEGABYTE = torch.device("cpu"), 2**20


def touch(megabytes):
    return np.ones(megabytes * MEGABYTE, np.uint8)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory of Linux")
def test_the_most_that_was_in_use_counts_and_what_was_before_does_not():
    touch(256)
    kept = touch(32)
    with watched_memory(CPU) as memory:
        touch(96)
        touch(16)
    assert memory.num_bytes == pytest.approx(96 * MEGABYTE, rel=0.1)
    del kept
    with watched_memory(CPU) as memory:
        touch(8)
    assert memory.num_bytes == pytest.approx(8 * MEGABYTE, rel=0.5)


@pytest.mark.parametrize("name", ["_STATUS", "_RESET"])
def test_a_system_that_does_not_tell_leaves_it_unknown(name, monkeypatch, tmp_path):
    monkeypatch.setattr(peak_memory, name, tmp_path / "missing" / "file")
    with watched_memory(CPU) as memory:
        touch(1)
    assert memory.num_bytes is None


@pytest.mark.gpu
def test_a_gpu_counts_its_tensors():
    device = torch.device("cuda")
    kept = torch.ones(MEGABYTE, device=device)
    with watched_memory(device) as memory:
        torch.ones(3 * MEGABYTE, device=device)
    assert memory.num_bytes == 12 * MEGABYTE
    del kept
