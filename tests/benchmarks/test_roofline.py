import numpy as np
import pytest
import roofline
import torch
from roofline import measure_roofline

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_copy_reads_and_writes_and_a_product_has_two_operations_each(monkeypatch, dtype):
    seconds = {"copy": np.array([9.0, 2.0, 1.0]), "product": np.array([4.0, 4.0, 9.0])}
    monkeypatch.setattr(roofline, "measure_steps", lambda *_: seconds)
    found = measure_roofline(CPU, dtype, rounds=3, copy_bytes=2**20, matrix_size=64)
    assert found.gigabytes_per_second == pytest.approx(2 * 2**20 / 2.0 / 1e9)
    assert found.teraflops_per_second == pytest.approx(2 * 64**3 / 4.0 / 1e12)


def test_the_copy_and_the_product_are_carried_out(monkeypatch):
    done = {}

    def run(steps, rounds, device):
        done.update({name: step() for name, step in steps.items()})
        return {name: np.ones(rounds) for name in steps}

    monkeypatch.setattr(roofline, "measure_steps", run)
    measure_roofline(CPU, torch.float32, copy_bytes=400, matrix_size=8)
    torch.testing.assert_close(done["copy"], torch.ones(100))
    torch.testing.assert_close(done["product"], torch.full((8, 8), 1 / 8))


def test_small_sizes_are_measured_in_no_time():
    found = measure_roofline(CPU, torch.float32, rounds=1, copy_bytes=2**16, matrix_size=32)
    assert found.gigabytes_per_second > 0
    assert found.teraflops_per_second > 0
