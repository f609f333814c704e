import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from gcvideo.command.train import _peak_memory as peak_memory
from gcvideo.command.train._peak_memory import watched_memory

CPU, MEGABYTE = torch.device("cpu"), 2**20


def touch(megabytes):
    return np.ones(megabytes * MEGABYTE, np.uint8)


# In a process of its own, because others may keep the memory that they free.
PROGRAM = """
import numpy as np
import torch
from gcvideo.command.train._peak_memory import watched_memory

def touch(megabytes):
    return np.ones(megabytes * 2**20, np.uint8)

touch(256)
kept = touch(32)
for sizes in ([96, 16], [8]):
    with watched_memory(torch.device("cpu")) as memory:
        for size in sizes:
            touch(size)
    print(memory.num_bytes)
    del kept
    kept = None
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory of Linux")
def test_the_most_that_was_in_use_counts_and_what_was_before_does_not(project):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = map(int, done.stdout.split())
    assert first == pytest.approx(96 * MEGABYTE, rel=0.1)
    assert second == pytest.approx(8 * MEGABYTE, rel=0.5)


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
