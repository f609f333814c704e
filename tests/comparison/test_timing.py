import copy

import numpy as np
import pytest
import torch
from torch import nn

from gcvideo.comparison import _timing as timing
from gcvideo.comparison._timing import median_milliseconds
from gcvideo.comparison._training_step import training_step
from gcvideo.models import ClipClassifier, slow_resnet

VIEWS = torch.randint(0, 256, (2, 3, 3, 2, 32, 32), dtype=torch.uint8)


class Clock:
    """Stands still unless it is moved."""

    def __init__(self):
        self.now = 0.0
        self.log = []

    def perf_counter(self):
        return self.now

    def net(self, name, seconds):
        """A net that takes so many seconds at its first call, at its second and so on."""
        seconds = iter(seconds)

        def run(views):
            self.log.append(name)
            self.now += next(seconds)

        return run


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    return clock


def test_nets_take_turns_in_an_order_that_is_reversed_each_round(clock):
    nets = {name: clock.net(name, [1] * 5) for name in "abc"}
    median_milliseconds(nets, VIEWS, rounds=3, warmup=1)
    assert "".join(clock.log) == "abc" + "cba" + "abc" + "cba"


def test_median_and_quartiles_are_per_clip_and_of_the_rounds_after_the_warmup(clock):
    seconds = {"a": [99, 98, 0.6, 1.2, 0.9, 3.0, 0.3], "b": [50, 50] + [6.0] * 5}
    nets = {name: clock.net(name, times) for name, times in seconds.items()}
    timings = median_milliseconds(nets, VIEWS, rounds=5, warmup=2)
    for name, times in seconds.items():
        expected = np.quantile(times[2:], [0.5, 0.25, 0.75]) * 1000 / 6
        found = timings[name]
        assert (found.median, found.lower_quartile, found.upper_quartile) == pytest.approx(
            tuple(expected)
        )
    assert timings["a"].median == pytest.approx(900 / 6)
    assert list(timings) == ["a", "b"]


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
    assert timings["net"].median > 0
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
    assert 0 < timings["a"].lower_quartile <= timings["a"].median <= timings["a"].upper_quartile


@pytest.mark.parametrize(("rounds", "warmup"), [(0, 1), (1, -1)])
def test_no_rounds_and_a_negative_warmup_are_refused(rounds, warmup):
    message = f"rounds is {rounds}, warmup {warmup}; time at least 1 round, after 0 or more"
    with pytest.raises(ValueError, match=message):
        median_milliseconds({}, VIEWS, rounds=rounds, warmup=warmup)


def test_only_modules_can_be_timed_in_training():
    with pytest.raises(TypeError, match="the net 'sum' is a builtin_function_or_method, which can"):
        median_milliseconds({"sum": torch.sum}, VIEWS, training=True)
