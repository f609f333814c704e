import fnmatch
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gcvideo.models import (
    Placement,
    bypassed_blocks,
    c2d_resnet,
    i3d_resnet,
    insert_blocks,
    inserted_blocks,
    insertion_effect,
    slow_resnet,
    stages_of,
)
from gcvideo.nn import CrissCrossBlock, NonLocalBlock, global_context, simplified_non_local
from gcvideo.weights._weights import BLOCKS

NETS = [slow_resnet, i3d_resnet, c2d_resnet]
POSITIONS = ["after_conv3", "after_add", "after_relu"]
ADDING = {
    "gc": partial(global_context, ratio=1 / 4),
    "snl": simplified_non_local,
    "nl": NonLocalBlock,
    "cc": CrissCrossBlock,
}
FIVE = {"res3": [1, 3], "res4": [1, 3, 5]}
GC = ADDING["gc"]

# Softmax does not see what is added to all its scores, nor does batch norm see a constant.
WITHOUT_EFFECT = ("mask.bias", "phi.bias", "key.bias", "out.bias")


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("position", POSITIONS)
def test_insertion_keeps_every_existing_name(make, position):
    bare = make(num_classes=10, width=4).state_dict()
    placement = Placement(block=GC, res2=[0], **FIVE, res5="all", position=position)
    keys = make(num_classes=10, width=4, placement=placement).state_dict().keys()
    assert bare.keys() < keys
    assert all(any(fnmatch.fnmatch(k, p) for p in BLOCKS) for k in keys - bare.keys())


@pytest.mark.parametrize("block", ADDING)
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_fresh_adding_blocks_change_no_bit_of_the_output(randomised, block, position, training):
    bare = randomised(slow_resnet(num_classes=10, width=4)).train(training)
    placement = Placement(block=ADDING[block], **FIVE, position=position)
    net = slow_resnet(num_classes=10, width=4, placement=placement).train(training)
    assert net.load_state_dict(bare.state_dict(), strict=False).unexpected_keys == []
    x, outputs = torch.randn(2, 3, 4, 32, 32), []
    for each in (bare, net):
        torch.manual_seed(1)  # the same features are dropped
        with torch.no_grad():
            outputs.append(each(x))
    assert torch.equal(*outputs)
    assert outputs[0].std() > 0.01


@pytest.mark.parametrize(
    ("make", "expected"),
    [(slow_resnet, [1, 2, 3, 4]), (i3d_resnet, [1, 3, 4, 5]), (c2d_resnet, [1, 3, 4, 5])],
)
def test_stages_are_found_behind_the_temporal_pool(make, expected):
    net = make(num_classes=10, width=4, placement=Placement(block=GC, res2=[0], res5=[2]))
    stages = stages_of(net)
    assert list(stages) == ["res2", "res3", "res4", "res5"]
    assert [list(net.blocks).index(stage) for stage in stages.values()] == expected
    assert [block.module.in_channels for block in inserted_blocks(net)] == [16, 128]


def test_a_net_without_stages_is_refused():
    with pytest.raises(ValueError, match="expected a ResNet with 4 residual stages, found 0"):
        stages_of(nn.Sequential(nn.Conv3d(3, 4, 1)))


class Affine(nn.Module):
    def __init__(self, in_channels):
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(-2, 2, in_channels).view(-1, 1, 1, 1))

    def forward(self, x):
        return self.scale * x + 1 - x.mean()


def residual_block_by_hand(state, x, block, position, stride):
    """Equations of the bottleneck residual block with a context block in one of three places."""

    def norm(y, name):
        names = ("running_mean", "running_var", "weight", "bias")
        mean, var, weight, bias = (state[f"{name}.{n}"].view(-1, 1, 1, 1) for n in names)
        return (y - mean) / (var + 1e-5).sqrt() * weight + bias

    convs = [("a", 1, (1, 0, 0)), ("b", (1, stride, stride), (0, 1, 1)), ("c", 1, 0)]
    y = x
    for letter, step, padding in convs:
        y = F.conv3d(y, state[f"branch2.conv_{letter}.weight"], stride=step, padding=padding)
        y = norm(y, f"branch2.norm_{letter}")
        y = y.relu() if letter != "c" else y
    if "branch1_conv.weight" in state:
        x = F.conv3d(x, state["branch1_conv.weight"], stride=(1, stride, stride))
        x = norm(x, "branch1_norm")
    if position == "after_conv3":
        return (x + block(y)).relu()
    if position == "after_add":
        return block(x + y).relu()
    return block((x + y).relu())


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("index", [0, 1])
def test_each_position_computes_what_it_says(randomised, position, index):
    placement = Placement(block=Affine, res4=[index], position=position)
    net = slow_resnet(num_classes=10, width=4, placement=placement)
    (inserted,) = inserted_blocks(net)
    residual_block = randomised(stages_of(net)["res4"].res_blocks[index])
    x = torch.randn(2, 64 if index else 32, 4, 6, 6)
    with torch.no_grad():
        expected = residual_block_by_hand(
            residual_block.state_dict(), x, inserted.module, position, stride=1 if index else 2
        )
        torch.testing.assert_close(residual_block(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("position", POSITIONS)
def test_report_names_every_block_its_place_and_its_parameters(position):
    bare = slow_resnet(num_classes=10, width=4)
    before = sum(p.numel() for p in bare.parameters())
    assert inserted_blocks(bare) == []
    net = insert_blocks(bare, Placement(block=GC, **FIVE, position=position))
    blocks = inserted_blocks(net)
    assert [(b.stage, b.index) for b in blocks] == [
        (stage, index) for stage, indices in FIVE.items() for index in indices
    ]
    assert {b.position for b in blocks} == {position}
    assert {b.kind for b in blocks} == {"ContextBlock"}
    assert all(net.get_submodule(b.name) is b.module for b in blocks)
    assert (
        sum(b.num_parameters for b in blocks) == sum(p.numel() for p in net.parameters()) - before
    )


def test_inserting_twice_is_refused():
    net = slow_resnet(num_classes=10, width=4, placement=Placement(block=GC, res4=[1]))
    with pytest.raises(ValueError, match="already has context blocks; insert into a bare net"):
        insert_blocks(net, Placement(block=GC, res3=[1], position="after_relu"))


def test_a_placement_that_does_not_fit_leaves_the_net_unchanged():
    net = slow_resnet(num_classes=10, width=4)
    with pytest.raises(ValueError, match="res4 has no block 6: it has 6 blocks"):
        insert_blocks(net, Placement(block=GC, res3=[1], res4=[6]))
    assert inserted_blocks(net) == []


@pytest.mark.parametrize("block", ADDING)
@pytest.mark.parametrize(
    ("position", "steps"),
    # A residual starts at zero, so that a block inside it may see nothing in the first step.
    [("after_conv3", 2), ("after_add", 1), ("after_relu", 1)],
)
def test_every_parameter_gets_a_gradient_once_the_zero_layers_have_moved(block, position, steps):
    placement = Placement(block=ADDING[block], **FIVE, position=position)
    net = slow_resnet(num_classes=10, width=8, dropout=0, placement=placement)
    x, labels = torch.randn(4, 3, 4, 32, 32), torch.arange(4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(steps):
        F.cross_entropy(net(x), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    F.cross_entropy(net(x), labels).backward()
    assert all(p.grad is not None for p in net.parameters())
    without = {name for name, p in net.named_parameters() if not p.grad.any()}
    assert {name for name in without if not name.endswith(WITHOUT_EFFECT)} == set()


def test_global_context_in_a_zero_residual_learns_from_the_first_step():
    net = slow_resnet(num_classes=10, width=8, dropout=0, placement=Placement(block=GC, **FIVE))
    F.cross_entropy(net(torch.randn(4, 3, 4, 32, 32)), torch.arange(4)).backward()
    for block in inserted_blocks(net):
        assert block.module.add_transform.expand.weight.grad.any()


@pytest.mark.parametrize("position", POSITIONS)
def test_bypassed_blocks_leave_the_net_without_them_and_come_back(randomised, position):
    placement = Placement(block=GC, **FIVE, position=position)
    net = randomised(slow_resnet(num_classes=10, width=4, placement=placement)).eval()
    for block in inserted_blocks(net):
        nn.init.normal_(block.module.add_transform.expand.bias)
    bare = slow_resnet(num_classes=10, width=4).eval()
    bare.load_state_dict({k: v for k, v in net.state_dict().items() if ".block." not in k})
    x = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        expected, with_blocks = bare(x), net(x)
        with bypassed_blocks(net):
            assert torch.equal(net(x), expected)
        assert torch.equal(net(x), with_blocks)
    net.train()
    assert insertion_effect(net, x) == pytest.approx((with_blocks - expected).abs().max().item())
    assert net.training
