import math

import pytest

from gcvideo.training import WarmupCosine, WarmupSteps, highest_factor


def test_warmup_ends_on_the_cosine_as_in_pyslowfast():
    """PySlowFast with base 0.1, 34 of 196 epochs from 0.01: lr(34) = 0.0928."""
    schedule = WarmupCosine(warmup_epochs=34, start=0.1)
    assert 0.1 * schedule.factor(34, 196) == pytest.approx(0.0928, abs=5e-5)
    assert 0.1 * schedule.factor(0, 196) == pytest.approx(0.01)
    assert schedule.factor(17, 196) == pytest.approx((0.1 + schedule.factor(34, 196)) / 2)


@pytest.mark.parametrize("epoch", [34, 50.5, 98, 195, 196])
def test_cosine_after_warmup(epoch):
    expected = 0.5 * (math.cos(math.pi * epoch / 196) + 1)
    assert WarmupCosine(warmup_epochs=34).factor(epoch, 196) == pytest.approx(expected)


def test_the_cosine_stays_at_zero_after_the_end():
    assert WarmupCosine().factor(11, 10) == pytest.approx(0)


def test_steps_multiply_by_gamma_at_each_milestone():
    schedule = WarmupSteps(milestones=[44, 88], gamma=0.1)
    factors = [schedule.factor(epoch, 118) for epoch in (0, 43.99, 44, 87.9, 88, 117)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_steps_warm_up_linearly_to_one():
    schedule = WarmupSteps(milestones=[90], warmup_epochs=10, start=0.1)
    assert [schedule.factor(e, 150) for e in (0, 5, 10)] == pytest.approx([0.1, 0.55, 1.0])


def test_milestones_that_do_not_ascend_are_refused():
    with pytest.raises(ValueError, match=r"milestones are \[88, 44\]; list each epoch once"):
        WarmupSteps(milestones=[88, 44])


@pytest.mark.parametrize(
    ("schedule", "num_epochs", "highest"),
    [
        (WarmupCosine(warmup_epochs=3), 4, 0.5 * (1 - 0.5**0.5)),  # the cosine at three quarters
        (WarmupCosine(), 4, 1.0),
        (WarmupSteps(milestones=[2], warmup_epochs=1), 4, 1.0),
    ],
)
def test_the_highest_factor_of_a_run_is_that_at_the_end_of_its_warm_up(
    schedule, num_epochs, highest
):
    assert highest_factor(schedule, num_epochs) == pytest.approx(highest, abs=1e-3)
