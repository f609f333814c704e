import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from gcvideo.comparison._peak_memory import peak_bytes
from gcvideo.comparison._training_step import training_step

MIB = 2**20
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def chain(device, *, freed):
    """Three products of buffers of 1 MiB, one after the other."""
    x = torch.ones(MIB // 4, device=device)
    factor = torch.full((1,), 2.0, device=device)

    def step():
        y = x * factor
        z = y * factor
        if freed:
            del y
        return z * factor

    return step


@pytest.mark.parametrize("device", DEVICES)
def test_the_peak_of_a_chain_is_that_of_the_buffers_that_live_together(device):
    assert peak_bytes(chain(device, freed=False), device) == 3 * MIB
    assert peak_bytes(chain(device, freed=True), device) == 2 * MIB


@pytest.mark.parametrize("device", DEVICES)
def test_memory_of_before_does_not_count_nor_does_what_only_the_first_step_takes(device):
    kept = []

    def step():
        if not kept:
            kept.append(torch.empty(5 * MIB, dtype=torch.uint8, device=device))
        return torch.empty(MIB, dtype=torch.uint8, device=device)

    assert peak_bytes(step, device) == MIB


def test_a_step_that_allocates_nothing_has_no_peak():
    assert peak_bytes(lambda: None) == 0


class Squares(nn.Module):
    """Squares its input some times; autograd keeps what each squaring gets."""

    def __init__(self, count):
        super().__init__()
        self.count = count
        self.scale = nn.Parameter(torch.ones(1))

    def squares(self, x):
        for _ in range(self.count):
            x = x.square()
        return x

    def forward(self, views):
        return self.squares(views * self.scale).mean((-3, -2, -1))


VIEWS = torch.rand(1, 4, 16, 64, 64)  # 1 MiB


def test_each_activation_that_autograd_keeps_adds_its_size_to_a_training_step():
    two, three, six = (peak_bytes(training_step(Squares(count), VIEWS)) for count in (2, 3, 6))
    assert three - two == pytest.approx(MIB, abs=1000)
    assert six - two == pytest.approx(4 * MIB, abs=1000)


def test_a_checkpointed_forward_pass_holds_its_input_and_two_activations():
    net = Squares(6)
    kept = peak_bytes(lambda: net.squares(VIEWS * net.scale))
    saved = peak_bytes(lambda: checkpoint(net.squares, VIEWS * net.scale, use_reentrant=False))
    assert kept == pytest.approx(7 * MIB, abs=1000)
    # and the state of the random numbers
    assert saved == pytest.approx(3 * MIB, abs=10_000)
