import time

import pytest
import torch
from torch import nn

from gcvideo.command.train import _step_time as step_time
from gcvideo.command.train._step_time import Precision, time_step, time_view


class Slow(nn.Module):
    """Ten milliseconds for each clip."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 2)
        self.seen = []

    def forward(self, views):
        self.seen.append(len(views))
        time.sleep(0.01 * len(views))
        return self.linear(views.float().mean((2, 3, 4, 5)).unsqueeze(-1))


def timed(model, num_clips=8):
    return time_step(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        num_clips=num_clips,
        num_frames=2,
        crop_size=4,
        autocast=None,
        bytes_per_clip=1000,
    )


@pytest.mark.slow
def test_a_whole_batch_is_timed_where_it_is_quick():
    model = Slow()
    step = timed(model)
    assert model.seen[-1] == 8
    assert step.seconds == pytest.approx(0.08, rel=0.4)
    assert "scaled" not in step.source


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scoring_is_timed_per_view_in_its_own_precision(dtype):
    model, seen = Slow(), []
    model.linear.register_forward_hook(lambda *given: seen.append(given[2].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        seconds = time_view(model, num_frames=2, crop_size=4, dtype=dtype)
    assert 0.01 < seconds < 0.05
    assert set(seen) == {dtype}
    assert not model.training


def test_a_slow_batch_is_scaled_from_a_smaller_one_and_says_so(monkeypatch):
    monkeypatch.setattr(step_time, "_BUDGET_SECONDS", 0.05)
    model = Slow()
    step = timed(model, num_clips=100)
    assert max(model.seen) == 2
    assert step.seconds == pytest.approx(1.0, rel=0.4)
    assert step.source.endswith("with 2 clips, scaled linearly to 100")


@pytest.mark.slow
def test_a_batch_that_would_not_fit_is_scaled_as_well(monkeypatch):
    monkeypatch.setattr(step_time, "_free_memory", lambda device: 3999)
    model = Slow()
    assert timed(model).source.endswith("with 3 clips, scaled linearly to 8")
    assert max(model.seen) == 3


@pytest.mark.parametrize(
    ("name", "weights", "autocast"),
    [
        ("32-true", torch.float32, None),
        (32, torch.float32, None),
        ("bf16-mixed", torch.float32, torch.bfloat16),
        ("16-mixed", torch.float32, torch.float16),
        ("bf16-true", torch.bfloat16, None),
    ],
)
def test_the_types_of_a_precision_are_lightnings(name, weights, autocast):
    assert Precision.of_trainer(name) == (weights, autocast)


def test_an_unknown_precision_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'transformer-engine', .* choose 32-true, bf16-mixed"):
        Precision.of_trainer("transformer-engine")
