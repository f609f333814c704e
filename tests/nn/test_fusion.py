import pytest
import torch
from torch import nn

from gcvideo.nn import ActivationThenBlock, ResidualFusion


class Double(nn.Module):
    def forward(self, x):
        return 2 * x


@pytest.mark.parametrize(("position", "expected"), [("after_conv3", 7.0), ("after_add", 8.0)])
def test_block_sits_before_or_behind_the_addition(position, expected):
    fusion = ResidualFusion(Double(), position)
    assert fusion(torch.full((1, 2, 3), 1.0), torch.full((1, 2, 3), 3.0)).unique() == expected


def test_block_sits_behind_the_activation():
    x = torch.tensor([-1.0, 3.0]).reshape(1, 2, 1)
    assert ActivationThenBlock(nn.ReLU(), Double())(x).flatten().tolist() == [0, 6]


@pytest.mark.parametrize(
    "seam", [ResidualFusion(nn.Linear(2, 2)), ActivationThenBlock(nn.ReLU(), nn.Linear(2, 2))]
)
def test_only_the_block_has_parameter_names(seam):
    assert set(seam.state_dict()) == {"block.weight", "block.bias"}


@pytest.mark.usefixtures("unchecked")
def test_unknown_positions_are_refused():
    message = "position is 'after_relu'; choose one of after_conv3, after_add"
    with pytest.raises(ValueError, match=message):
        ResidualFusion(Double(), "after_relu")


def test_description_names_the_position():
    assert "position='after_add'" in repr(ResidualFusion(Double(), "after_add"))
