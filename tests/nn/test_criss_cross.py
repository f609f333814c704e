import pytest
import torch

from gcvideo.nn import CrissCrossBlock


@pytest.mark.parametrize("grid", [(5,), (3, 4), (1, 3, 2), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("recurrence", [1, 2])
def test_block_equals_the_equations(reference, randomised, grid, recurrence):
    block = randomised(CrissCrossBlock(8, recurrence=recurrence, reduction=4))
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    expected = reference.criss_cross_block(x, block.state_dict(), recurrence)
    torch.testing.assert_close(block(x), expected)


def test_block_starts_at_the_identity():
    x = torch.randn(2, 8, 2, 3, 4)
    assert torch.equal(CrissCrossBlock(8)(x), x)


@pytest.mark.parametrize(("recurrence", "differing"), [(1, 1), (2, 2), (3, 3)])
def test_every_pass_reaches_one_more_coordinate(randomised, recurrence, differing):
    block = randomised(CrissCrossBlock(8, recurrence=recurrence))
    x = torch.randn(1, 8, 2, 2, 2, dtype=torch.float64)
    y = x.clone()
    y[..., 0, 0, 0] += 1
    changed = (block(x) - block(y)).abs().amax(1)[0] > 1e-9
    distance = torch.cartesian_prod(*[torch.arange(2)] * 3).sum(1).reshape(2, 2, 2)
    assert torch.equal(changed, distance <= differing)


def test_gradients_are_correct(randomised):
    block = randomised(CrissCrossBlock(4, reduction=2))
    x = torch.randn(1, 4, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: block(x), (x, *block.parameters()))


def test_every_parameter_gets_a_gradient_after_one_step(gradients_after_one_step):
    gradients = gradients_after_one_step(CrissCrossBlock(8), torch.randn(2, 8, 2, 3, 4))
    assert all(g is not None for g in gradients.values())
    assert all(g.any() for name, g in gradients.items() if name != "key.bias")  # softmax cancels it


def test_channels_last_input_gives_equal_output(randomised):
    block = randomised(CrissCrossBlock(8))
    x = torch.randn(2, 8, 2, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(block(x.contiguous(memory_format=torch.channels_last_3d)), block(x))


def test_no_map_of_all_pairs_is_allocated(largest_new_tensor):
    with largest_new_tensor:
        CrissCrossBlock(8)(torch.randn(1, 8, 4, 8, 8))
    assert largest_new_tensor.numel < 256 * 256 // 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_keeps_the_input_type_and_stays_finite(randomised, dtype):
    block = randomised(CrissCrossBlock(8)).float()
    with torch.autocast("cpu", torch.bfloat16):
        z = block(torch.randn(2, 8, 2, 3, 4, dtype=dtype))
    assert z.dtype == dtype
    assert z.isfinite().all()


@pytest.mark.parametrize("reduction", [0, 16])
def test_reduction_to_no_channel_is_refused(reduction):
    with pytest.raises(ValueError, match=f"reduction {reduction} of 8 channels .*choose 1 to 8"):
        CrissCrossBlock(8, reduction=reduction)


def test_no_recurrence_is_refused():
    with pytest.raises(ValueError, match="recurrence must be at least 1, got 0; CCNet uses 2"):
        CrissCrossBlock(8, recurrence=0)


def test_wrong_channel_count_is_refused():
    with pytest.raises(ValueError, match="expected 8 channels, got 4"):
        CrissCrossBlock(8)(torch.zeros(1, 4, 2, 2))


def test_description_names_the_setting():
    assert "in_channels=8, recurrence=3" in repr(CrissCrossBlock(8, recurrence=3))
