import block_reference as reference
import pytest
import torch

from gcvideo.nn import CrissCrossBlock


@pytest.mark.parametrize("grid", [(5,), (3, 4), (1, 3, 2), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("recurrence", [1, 2])
def test_block_equals_the_equations(randomised, grid, recurrence):
    block = randomised(CrissCrossBlock(8, recurrence=recurrence, reduction=4))
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    expected = reference.criss_cross_block(x, block.state_dict(), recurrence)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(("recurrence", "differing"), [(1, 1), (2, 2), (3, 3)])
def test_every_pass_reaches_one_more_coordinate(randomised, recurrence, differing):
    block = randomised(CrissCrossBlock(8, recurrence=recurrence))
    x = torch.randn(1, 8, 2, 2, 2, dtype=torch.float64)
    y = x.clone()
    y[..., 0, 0, 0] += 1
    changed = (block(x) - block(y)).abs().amax(1)[0] > 1e-9
    distance = torch.cartesian_prod(*[torch.arange(2)] * 3).sum(1).reshape(2, 2, 2)
    assert torch.equal(changed, distance <= differing)


@pytest.mark.parametrize("reduction", [0, 16])
def test_reduction_to_no_channel_is_refused(reduction):
    with pytest.raises(ValueError, match=f"reduction {reduction} of 8 channels .*choose 1 to 8"):
        CrissCrossBlock(8, reduction=reduction)


def test_no_recurrence_is_refused():
    with pytest.raises(ValueError, match="recurrence must be at least 1, got 0; CCNet uses 2"):
        CrissCrossBlock(8, recurrence=0)
