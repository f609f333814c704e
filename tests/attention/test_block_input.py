import functools

import pytest
import torch
from block_net import draw_blocks
from torch import nn

from gcvideo.attention._map import captured_inputs
from gcvideo.models import Placement, inserted_blocks, slow_resnet
from gcvideo.nn import NonLocalBlock, global_context


def make_net(block, position):
    net = slow_resnet(
        num_classes=3,
        width=4,
        placement=Placement(block=block, res3=[1], res4=[0, 5], position=position),
    )
    for module in draw_blocks(net).modules():
        # The last of each residual starts at zero, which would make all inputs alike.
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return net.double().eval()


class Constant(nn.Module):
    """Gives what it was made with, whatever it is given."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return self.value


@torch.no_grad()
@pytest.mark.parametrize("position", ["after_conv3", "after_add", "after_relu"])
@pytest.mark.parametrize(
    "block", [functools.partial(NonLocalBlock, kind="dot_product"), global_context]
)
def test_the_output_of_the_net_follows_from_each_captured_input(block, position):
    net = make_net(block, position)
    clip = torch.randn(2, 3, 4, 32, 32, dtype=torch.float64)
    with captured_inputs(net) as inputs:
        logits = net(clip)
    blocks = inserted_blocks(net)
    assert list(inputs) == [inserted.name for inserted in blocks]
    for inserted in blocks:
        parent, _, child = inserted.name.rpartition(".")
        seam = net.get_submodule(parent)
        x = inputs[inserted.name]
        setattr(seam, child, Constant(inserted.module(x)))
        torch.testing.assert_close(net(clip), logits)
        setattr(seam, child, inserted.module)


@torch.no_grad()
def test_another_input_would_give_another_output():
    net = make_net(global_context, "after_conv3")
    clip = torch.randn(1, 3, 4, 32, 32, dtype=torch.float64)
    logits = net(clip)
    with captured_inputs(net) as inputs:
        net(torch.zeros_like(clip))
    block = inserted_blocks(net)[-1]
    parent, _, child = block.name.rpartition(".")
    setattr(net.get_submodule(parent), child, Constant(block.module(inputs[block.name])))
    assert not torch.allclose(net(clip), logits)


@torch.no_grad()
def test_passes_outside_are_not_captured():
    net = make_net(global_context, "after_conv3")
    with captured_inputs(net) as inputs:
        net(torch.zeros(1, 3, 4, 32, 32, dtype=torch.float64))
    kept = {name: x.clone() for name, x in inputs.items()}
    net(torch.randn(1, 3, 4, 32, 32, dtype=torch.float64))
    assert all(torch.equal(inputs[name], x) for name, x in kept.items())


def test_a_net_without_blocks_is_refused():
    with (
        pytest.raises(
            ValueError, match=r"the net contains no context block.*such as model=slow_nl"
        ),
        captured_inputs(slow_resnet(num_classes=3, width=4)),
    ):
        pass
