import pytest
from torch import nn

from gcvideo.models import Placement


@pytest.mark.parametrize(
    ("wanted", "indices"), [((), ()), ("all", (0, 1, 2, 3, 4, 5)), ([5, 1, 3], (1, 3, 5))]
)
def test_the_indices_of_a_stage_are_those_named_in_order(wanted, indices):
    placement = Placement(block=nn.BatchNorm3d, res2="all", res4=wanted)
    assert placement.indices("res4", 6) == indices
    assert placement.indices("res3", 4) == ()
    assert placement
    assert not Placement()


def test_bad_stage_word_is_refused(unchecked):
    with pytest.raises(ValueError, match=r"res3 is 'most'; give a list of block indices or 'all'"):
        Placement(block=nn.BatchNorm3d, res3="most")


@pytest.mark.parametrize("index", [4, -1])
def test_index_outside_the_stage_names_stage_and_range(index):
    placement = Placement(block=nn.BatchNorm3d, res3=[1, index])
    message = f"res3 has no block {index}: it has 4 blocks .* valid indices are 0 to 3"
    with pytest.raises(ValueError, match=message):
        placement.indices("res3", 4)


def test_index_named_twice_is_refused():
    placement = Placement(block=nn.BatchNorm3d, res5=[1, 2, 1])
    with pytest.raises(ValueError, match=r"res5 names a block twice: \[1, 2, 1\]"):
        placement.indices("res5", 3)


@pytest.mark.parametrize("stages", [{}, {"res3": []}])
def test_block_without_stage_is_refused(stages):
    with pytest.raises(ValueError, match="a block was given but no stage to put it in"):
        Placement(block=nn.BatchNorm3d, **stages)


@pytest.mark.parametrize("blocks", [[1], "all"])
def test_stage_without_block_is_refused(blocks):
    with pytest.raises(ValueError, match="stages were named but no block to put there"):
        Placement(res4=blocks)


def test_unknown_position_is_refused(unchecked):
    message = "position is 'before_conv1'; choose one of after_conv3, after_add, after_relu"
    with pytest.raises(ValueError, match=message):
        Placement(block=nn.BatchNorm3d, res4=[1], position="before_conv1")
