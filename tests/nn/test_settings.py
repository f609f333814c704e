from functools import partial

import pytest
import torch

from gcvideo.nn import global_context, simplified_non_local, squeeze_excitation

FIVE_BLOCKS = [512, 512, 1024, 1024, 1024]
ALL_BLOCKS = [512] * 4 + [1024] * 6 + [2048] * 3
BASELINE = 32_454_096


def num_parameters(make, widths):
    return sum(p.numel() for width in widths for p in make(width).parameters())


def test_five_gc_blocks_add_the_parameters_of_the_paper():
    make = partial(global_context, ratio=1 / 4)
    assert BASELINE + num_parameters(make, FIVE_BLOCKS) == 34_300_373


def test_gc_in_all_blocks_adds_the_parameters_of_the_paper():
    with torch.device("meta"):
        assert BASELINE + num_parameters(global_context, ALL_BLOCKS) == 42_455_005


def test_five_snl_blocks_add_the_parameters_of_the_paper():
    assert BASELINE + num_parameters(simplified_non_local, FIVE_BLOCKS) == 36_132_309


@pytest.mark.parametrize("c", [64, 512])
def test_gc_parameters_follow_the_formula(c):
    r = c // 4
    assert num_parameters(global_context, [c]) == (c + 1) + (c * r + r) + 2 * r + (r * c + c)


def test_squeeze_excitation_has_two_layers_and_no_mask():
    names = {name for name, _ in squeeze_excitation(64).named_parameters()}
    layers = ("reduce.weight", "reduce.bias", "expand.weight", "expand.bias")
    assert names == {f"mul_transform.{layer}" for layer in layers}


def test_squeeze_excitation_equals_its_equation(reference, randomised):
    block = randomised(squeeze_excitation(8, ratio=1 / 4))
    x = torch.randn(2, 8, 2, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(block(x), reference.context_block(x, block.state_dict(), "thw"))


def test_squeeze_excitation_can_start_at_the_identity():
    x = torch.randn(2, 32, 5)
    assert torch.equal(squeeze_excitation(32)(x), x / 2)
    assert torch.equal(squeeze_excitation(32, mul_start="identity")(x), x)


def test_squeeze_excitation_of_few_channels_is_refused():
    with pytest.raises(ValueError, match=r"ratio 0.0625 of 8 channels leaves .* 1/8 = 0.125"):
        squeeze_excitation(8)


def test_snl_equals_its_equation(reference, randomised):
    block = randomised(simplified_non_local(8))
    x = torch.randn(2, 8, 2, 3, 4, dtype=torch.float64)
    expected = reference.context_block(x, block.state_dict(), "thw", activation=False)
    torch.testing.assert_close(block(x), expected)


def test_global_context_passes_every_argument_on():
    block = global_context(
        16, ratio=1 / 2, pooling="avg", axes="hw", norm=False, activation=False,
        fusion=["mul", "add"], mul_start="identity",
    )  # fmt: skip
    assert block.mask is None
    assert block.axes == "hw"
    assert block.mul_scale == 2
    assert block.add_transform.reduce.out_features == 8
    assert isinstance(block.mul_transform.norm, torch.nn.Identity)
    assert isinstance(block.mul_transform.activation, torch.nn.Identity)


def test_configurations_from_before_eps_was_a_setting_keep_that_of_the_published_code():
    assert global_context(16).add_transform.norm.eps == 1e-5
    assert global_context(16, eps=1e-6).add_transform.norm.eps == 1e-6
