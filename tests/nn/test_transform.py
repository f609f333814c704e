import pytest
import torch

from gcvideo.nn._context import Transform, bottleneck_width


@pytest.mark.parametrize(
    ("norm", "wanted"),
    [
        (False, r"leaves one is 1/512 = 0.001953$"),
        (True, r"leaves two is 2/512 = 0.003906; norm=F"),
    ],
)
def test_bottleneck_names_the_smallest_ratio_that_fits(norm, wanted):
    with pytest.raises(
        ValueError, match=rf"ratio 0.0001 of 512 channels leaves no channel .* {wanted}"
    ):
        Transform(512, ratio=0.0001, norm=norm)


def test_one_channel_under_a_norm_is_refused_for_it_can_learn_nothing():
    message = r"ratio 0.125 of 8 channels leaves 1 channel .* constant .* leaves two is 2/8 = 0.25;"
    with pytest.raises(ValueError, match=message):
        Transform(8, ratio=1 / 8)
    transform = Transform(8, ratio=1 / 8, norm=False)
    torch.nn.init.ones_(transform.expand.weight)
    x = torch.randn(20, 8)
    transform(x).sum().backward()
    assert transform.reduce.weight.grad.any()


def test_the_smallest_ratio_fits_for_every_width():
    assert all(bottleneck_width(c, 1 / c) == 1 for c in range(1, 2049))
    assert all(bottleneck_width(c, 2 / c, norm=True) == 2 for c in range(1, 2049))


def test_width_is_the_integer_part():
    assert [bottleneck_width(c, 1 / 16) for c in (64, 70, 80, 2048)] == [4, 4, 5, 128]


def test_linear_transform_is_one_layer():
    assert set(Transform(8, ratio=None).state_dict()) == {"expand.weight", "expand.bias"}


@pytest.mark.parametrize("ratio", [None, 0.5])
def test_transform_starts_at_zero(ratio):
    assert not Transform(8, ratio=ratio)(torch.randn(3, 8)).any()


def test_reset_returns_to_the_start(randomised):
    transform = randomised(Transform(8))
    transform.reset_parameters()
    assert not transform(torch.randn(3, 8, dtype=torch.float64)).any()
    assert torch.equal(transform.norm.weight, torch.ones(2, dtype=torch.float64))
