import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from gcvideo.comparison import _step_cost as step_cost
from gcvideo.comparison._step_cost import median_milliseconds, peak_bytes, training_step
from gcvideo.models import ClipClassifier, slow_resnet

VIEWS = torch.randint(0, 256, (2, 3, 3, 2, 32, 32), dtype=torch.uint8)


class Clock(nn.Module):
    """A net that takes so many seconds at its first call, at its second and so on."""

    now = 0.0
    log = ""

    def __init__(self, name, seconds):
        super().__init__()
        self.name, self.seconds = name, list(seconds)

    def forward(self, views):
        Clock.log += self.name
        Clock.now += self.seconds.pop(0)


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(Clock, "now", 0.0)
    monkeypatch.setattr(Clock, "log", "")
    monkeypatch.setattr(step_cost, "timer", lambda: Clock.now)


@pytest.mark.usefixtures("clock")
def test_nets_take_turns_in_an_order_that_is_reversed_each_round():
    nets = {name: Clock(name, [1] * 4) for name in "abc"}
    median_milliseconds(nets, VIEWS, rounds=3, warmup=1)
    assert Clock.log == "abc" + "cba" + "abc" + "cba"


@pytest.mark.usefixtures("clock")
def test_times_are_medians_per_clip_of_the_rounds_after_the_warmup():
    nets = {"a": Clock("a", [99, 98, 0.6, 1.2, 0.9, 3, 0.3]), "b": Clock("b", [50, 50] + [6] * 5)}
    timings = median_milliseconds(nets, VIEWS, rounds=5, warmup=2)
    assert timings == pytest.approx({"a": 900 / 6, "b": 6000 / 6})


class Log(list):
    """Shared by the copies of a net."""

    def __deepcopy__(self, memo):
        return self


class Recorder(nn.Module):
    """Logits of a linear layer; notes in which mode it runs."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen
        self.linear = nn.Linear(3, 4)

    def forward(self, views):
        grad = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        self.seen.append((self.training, *grad))
        if self.linear.weight.grad is not None:
            self.seen.append("a gradient of before")
        return self.linear(views.float().mean((-3, -2, -1)))


@pytest.mark.parametrize(
    ("training", "mode"), [(False, (False, False, True)), (True, (True, True, False))]
)
def test_inference_is_without_autograd_and_training_steps_start_without_gradients(training, mode):
    seen = Log()
    median_milliseconds({"net": Recorder(seen)}, VIEWS, training=training, rounds=2, warmup=1)
    assert seen == [mode] * 3


def test_a_training_step_reaches_all_weights():
    reached = set()
    net = Recorder(Log())
    for name, parameter in net.named_parameters():
        parameter.register_hook(lambda grad, name=name: reached.add(name))
    training_step(net, VIEWS)()
    assert reached == {"linear.weight", "linear.bias"}
    assert net.linear.weight.grad is None


@pytest.mark.parametrize("training", [False, True])
def test_timed_nets_are_left_as_they_were(training):
    net = slow_resnet(num_classes=5, width=4).train()
    model = ClipClassifier(net, mean=[0.45] * 3, std=[0.225] * 3)
    model.net.blocks[0].eval()
    modes = [module.training for module in model.modules()]
    state = copy.deepcopy(model.state_dict())
    timings = median_milliseconds({"net": model}, VIEWS, training=training, rounds=1, warmup=0)
    assert timings["net"] > 0
    torch.testing.assert_close(model.state_dict(), state, rtol=0, atol=0)
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.gpu
@pytest.mark.parametrize("training", [False, True])
def test_nets_on_a_gpu_are_timed_to_their_end(training):
    net = slow_resnet(num_classes=5, width=4)
    model = ClipClassifier(net, mean=[0.45] * 3, std=[0.225] * 3).cuda()
    views = VIEWS.cuda()
    timings = median_milliseconds({"a": model, "b": model}, views, training=training, rounds=5)
    assert 0 < timings["a"] < 2 * timings["b"]


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


MEBIBYTE = torch.rand(1, 4, 16, 64, 64)  # 1 MiB


def test_each_activation_that_autograd_keeps_adds_its_size_to_a_training_step():
    two, three, six = (peak_bytes(training_step(Squares(count), MEBIBYTE)) for count in (2, 3, 6))
    assert three - two == pytest.approx(MIB, abs=1000)
    assert six - two == pytest.approx(4 * MIB, abs=1000)


def test_a_checkpointed_forward_pass_holds_its_input_and_two_activations():
    net = Squares(6)
    kept = peak_bytes(lambda: net.squares(MEBIBYTE * net.scale))
    saved = peak_bytes(lambda: checkpoint(net.squares, MEBIBYTE * net.scale, use_reentrant=False))
    assert kept == pytest.approx(7 * MIB, abs=1000)
    # and the state of the random numbers
    assert saved == pytest.approx(3 * MIB, abs=10_000)
