import numpy as np
import pytest
import torch

from gcvideo.evaluation import alternation
from gcvideo.evaluation.alternation import (
    UnequalError,
    device_clock,
    measure_steps,
    require_close,
)

CPU = torch.device("cpu")


class Clock:
    def __init__(self):
        self.now = 0.0
        self.calls = []

    def step(self, name, seconds):
        def run():
            self.calls.append(name)
            self.now += seconds

        return run


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(alternation, "device_clock", lambda device: lambda: clock.now)
    return clock


def test_long_steps_have_one_call_a_turn_and_take_turns_in_changing_order(clock):
    steps = {"a": clock.step("a", 1.0), "b": clock.step("b", 3.0)}
    seconds = measure_steps(steps, 3, CPU)
    assert "".join(clock.calls) == "ab" + "ab" + "ab" + "ba" + "ab"
    np.testing.assert_allclose(seconds["a"], [1, 1, 1])
    np.testing.assert_allclose(seconds["b"], [3, 3, 3])


def test_short_steps_are_repeated_for_two_milliseconds_and_counted_per_call(clock):
    seconds = measure_steps({"a": clock.step("a", 0.0005)}, 2, CPU)
    # Two calls to learn how long one takes, then one turn that is not timed and two that are.
    assert len(clock.calls) == 2 + 3 * 4
    np.testing.assert_allclose(seconds["a"], [0.0005, 0.0005])


def test_no_rounds_are_refused():
    with pytest.raises(ValueError, match="rounds is 0; time at least 1 round"):
        measure_steps({"a": lambda: None}, 0, CPU)


def test_the_clock_of_a_device_goes_on():
    read = device_clock(CPU)
    assert read() < read()


@pytest.mark.gpu
def test_the_clock_of_a_gpu_waits_for_its_work():
    device = torch.device("cuda")
    read, x = device_clock(device), torch.ones(4096, 4096, device=device)
    for _ in range(20):
        x = x @ x
    done = torch.cuda.Event()
    done.record()
    read()
    assert done.query()


def test_the_largest_difference_counts_in_standard_deviations_of_the_reference():
    theirs = torch.tensor([-2.0, 0.0, 2.0])  # standard deviation 2
    exact = torch.tensor([5.0, 6.0])
    note = require_close("x", [theirs + torch.tensor([0, 0.02, 0]), exact], [theirs, exact], 0.02)
    assert note == "differs by 1e-02 (max 0.02)"
    with pytest.raises(UnequalError, match=r"x: results differ by 0\.01 of .*, 0\.005 is allowed"):
        require_close("x", [theirs + 0.02], [theirs], 0.005)


def test_what_is_no_number_is_unequal():
    with pytest.raises(UnequalError, match="differ by nan"):
        require_close("x", [torch.tensor([1.0, float("nan")])], [torch.tensor([1.0, 2.0])], 1.0)


def test_results_of_another_shape_or_number_are_unequal():
    with pytest.raises(
        UnequalError, match=r"x: the shapes are \[\(2,\)\], the reference's \[\(2,\), \(1,\)\]"
    ):
        require_close("x", [torch.zeros(2)], [torch.zeros(2), torch.zeros(1)], 1.0)
