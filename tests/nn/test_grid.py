import pytest
import torch

from gcvideo.nn._grid import check_input, fold, unfold


@pytest.mark.parametrize(
    ("axes", "shape"), [("thw", (2, 3, 60)), ("hw", (8, 3, 15)), ("t", (30, 3, 4))]
)
def test_unfold_undoes_fold(axes, shape):
    x = torch.randn(2, 3, 4, 3, 5)
    assert fold(x, axes).shape == shape
    assert torch.equal(unfold(fold(x, axes), x.shape[2:], axes), x)


def test_folding_all_axes_copies_neither_memory_format():
    x = torch.randn(2, 3, 4, 3, 5)
    for y in (x, x.contiguous(memory_format=torch.channels_last_3d)):
        assert fold(y, "thw").data_ptr() == y.data_ptr()


def test_input_without_grid_is_refused():
    with pytest.raises(ValueError, match=r"at least one grid axis, got shape \(2, 16\); add"):
        check_input(torch.zeros(2, 16), 16, "thw")


@pytest.mark.parametrize("axes", ["hw", "t"])
def test_single_axes_need_a_video(axes):
    with pytest.raises(ValueError, match=f"axes='{axes}' needs a .* rank 2; axes='thw' takes any"):
        check_input(torch.zeros(2, 16, 4, 4), 16, axes)
