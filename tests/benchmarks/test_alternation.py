import alternation
import numpy as np
import pytest
import torch
from alternation import UnequalError, device_clock, measure_steps, require_close

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


def test_the_largest_error_of_all_tensors_counts_relative_to_the_spread():
    exact = torch.tensor([7.0, 8.0, 9.0])  # spread sqrt(2)
    other = torch.tensor([5.0, 6.0])
    ours = [exact + torch.tensor([0, 0.01, 0]), other]
    note = require_close("x", ours, [exact, other], 0.02)
    assert note == "differs by 7e-03 (max 0.02)"
    with pytest.raises(
        UnequalError, match=r"x: results differ by 0\.0071 of .*, 0\.005 is allowed"
    ):
        require_close("x", ours, [exact, other], 0.005)


def test_ours_may_be_three_times_as_far_off_as_another_form_but_not_more():
    exact = torch.tensor([-1.0, 1.0])
    theirs = [exact + torch.tensor([0.1, 0])]
    note = require_close("x", [exact + torch.tensor([0.29, 0])], [exact], 0.01, theirs=theirs)
    assert note == "differs by 2e-01 (max 0.21), theirs by 7e-02"
    with pytest.raises(UnequalError, match=r"x: results differ by 0\.22 of .*, 0\.21 is allowed"):
        require_close("x", [exact + torch.tensor([0.31, 0])], [exact], 0.01, theirs=theirs)


def test_a_form_far_from_exact_does_not_put_the_blame_on_ours():
    exact = torch.randn(100)
    note = require_close("x", [exact], [exact], 1e-3, theirs=[exact.roll(1)])
    assert note.startswith("differs by 0e+00")


@pytest.mark.parametrize("wrong", ["ours", "theirs"])
def test_what_is_no_number_is_unequal(wrong):
    exact = [torch.tensor([1.0, 2.0])]
    given = {"ours": exact, "theirs": exact} | {wrong: [torch.tensor([1.0, float("nan")])]}
    with pytest.raises(UnequalError, match="differ by nan"):
        require_close("x", given["ours"], exact, 1.0, theirs=given["theirs"])


def test_results_of_another_shape_or_number_are_unequal():
    with pytest.raises(
        UnequalError,
        match=r"x: the shapes are \[\(2,\)\], those of exact results \[\(2,\), \(1,\)\]",
    ):
        require_close("x", [torch.zeros(2)], [torch.zeros(2), torch.zeros(1)], 1.0)
