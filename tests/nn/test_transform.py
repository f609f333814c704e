import pytest
import torch

from gcvideo.nn.transform import Transform, bottleneck_width


def test_bottleneck_names_the_smallest_ratio_that_fits():
    message = r"ratio 0.0001 of 512 channels leaves no channel .* 1/512 = 0.001953"
    with pytest.raises(ValueError, match=message):
        Transform(512, ratio=0.0001)


def test_the_smallest_ratio_fits_for_every_width():
    assert all(bottleneck_width(c, 1 / c) == 1 for c in range(1, 2049))


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
