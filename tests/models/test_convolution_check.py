import pytest
import torch
from torch import nn

from gcvideo.models import ClipClassifier
from gcvideo.models import _convolution_check as convolution_check
from gcvideo.models._convolution_check import convolution_slowdown, settle_layout

CUDA = torch.device("cuda", 0)


def make(layout="auto"):
    net = nn.Sequential(nn.Conv3d(3, 4, 1))
    return ClipClassifier(net, mean=[0.5] * 3, std=[0.2] * 3, layout=layout)


def pretend(monkeypatch, slowdown):
    monkeypatch.setattr(convolution_check, "convolution_slowdown", lambda device, dtype: slowdown)


def test_convolutions_are_folded_where_they_are_slower_in_bfloat16(monkeypatch):
    pretend(monkeypatch, 3.84)
    model = make()
    message = (
        "3-D convolutions take 3.8 times as long in torch.bfloat16 as in float32 .* choose layout"
    )
    with pytest.warns(UserWarning, match=message):
        assert settle_layout(model, CUDA, torch.bfloat16) == 3.84
    assert model.net[0].folded


def test_convolutions_stay_where_they_are_faster(monkeypatch):
    pretend(monkeypatch, 0.6)
    model = make()
    assert settle_layout(model, CUDA, torch.bfloat16) == 0.6
    assert not model.net[0].folded


@pytest.mark.parametrize(
    ("layout", "device", "dtype"),
    [
        ("channels_last", "cuda", torch.bfloat16),
        ("auto", "cpu", torch.bfloat16),
        ("auto", "cuda", torch.float32),
    ],
)
def test_nothing_is_checked_where_there_is_nothing_to_choose(monkeypatch, layout, device, dtype):
    pretend(monkeypatch, 9.0)
    model = make(layout)
    assert settle_layout(model, device, dtype) is None
    assert not model.net[0].folded


def test_the_ratio_of_a_type_and_itself_is_near_one(monkeypatch):
    monkeypatch.setattr(convolution_check, "_INPUT", (1, 16, 2, 14, 14))
    monkeypatch.setattr(convolution_check, "_WEIGHT", (16, 16, 1, 3, 3))
    convolution_slowdown.cache_clear()
    assert 0.2 < convolution_slowdown(torch.device("cpu"), torch.float32) < 5
    convolution_slowdown.cache_clear()


@pytest.mark.gpu
def test_this_gpu_computes_3d_convolutions_in_bfloat16_faster_than_in_float32():
    assert convolution_slowdown(CUDA, torch.bfloat16) < 1
