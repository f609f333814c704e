import copy
from functools import partial
from typing import get_args

import pytest
import torch
from torch import nn

from gcvideo.models import Placement, c2d_resnet, count_cost, count_macs, i3d_resnet, slow_resnet
from gcvideo.nn import (
    CrissCrossBlock,
    NonLocalBlock,
    global_context,
    simplified_non_local,
    squeeze_excitation,
)
from gcvideo.nn._non_local import Kind

FIVE = {"res3": [1, 3], "res4": [1, 3, 5]}


@pytest.fixture(scope="module")
def slow(on_meta):
    return on_meta(slow_resnet, num_classes=400)


@pytest.mark.parametrize(("crop_size", "gmacs"), [(224, 41.74), (256, 54.52)])
def test_slow_r50_costs_what_is_published(slow, crop_size, gmacs):
    cost = count_cost(slow, 8, crop_size)
    assert cost.macs / 1e9 == pytest.approx(gmacs, abs=0.02)
    assert cost.num_parameters == 32_454_096
    assert cost.blocks == ()


def num_normalised(net, shape):
    """Elements that pass through batch norm."""
    counts = []
    net = copy.deepcopy(net).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.register_forward_hook(lambda module, inputs, y: counts.append(y.numel()))
    with torch.no_grad():
        net(torch.empty(shape, device="meta"))
    return sum(counts)


@pytest.mark.parametrize(("make", "gmacs"), [(i3d_resnet, 37.53), (c2d_resnet, 25.89)])
def test_nets_cost_what_pytorchvideo_publishes_less_its_batch_norm(on_meta, make, gmacs):
    # PyTorchVideo's figures of these two nets include 5 operations per normalised element.
    net = on_meta(make, num_classes=400)
    macs = count_cost(net, 8, 256).macs
    assert macs / 1e9 == pytest.approx(gmacs, rel=0.02)
    assert (macs + 5 * num_normalised(net, (1, 3, 8, 256, 256))) / 1e9 == pytest.approx(
        gmacs, abs=0.01
    )


def non_local_macs(channels, positions, keys):
    inner = channels // 2
    projections = channels * inner * (positions + 2 * keys + positions)
    return projections, 2 * positions * keys * inner


def test_non_local_blocks_cost_their_projections_and_their_two_products(on_meta):
    placement = Placement(block=NonLocalBlock, **FIVE, position="after_relu")
    net = on_meta(slow_resnet, num_classes=400, placement=placement)
    cost = count_cost(net, 8, 224)
    res3 = sum(non_local_macs(512, 8 * 28 * 28, 8 * 14 * 14))
    res4 = sum(non_local_macs(1024, 8 * 14 * 14, 8 * 7 * 7))
    assert [block.macs for block in cost.blocks] == [res3] * 2 + [res4] * 3
    assert cost.macs == 41_740_828_672 + 2 * res3 + 3 * res4
    assert (2 * res3 + 3 * res4) / 1e9 == pytest.approx(22.2, abs=0.05)


def test_the_gaussian_kind_costs_its_true_channels_and_no_zeros(on_meta):
    block = partial(NonLocalBlock, kind="gaussian")
    placement = Placement(block=block, **FIVE, position="after_relu")
    cost = count_cost(on_meta(slow_resnet, num_classes=400, placement=placement), 8, 224)

    def macs(channels, positions, keys):  # g, the similarities of x itself, the sum of g, out
        inner = channels // 2
        return channels * inner * (keys + positions) + positions * keys * (channels + inner)

    res3, res4 = macs(512, 8 * 28 * 28, 8 * 14 * 14), macs(1024, 8 * 14 * 14, 8 * 7 * 7)
    assert [block.macs for block in cost.blocks] == [res3] * 2 + [res4] * 3


BLOCKS = [
    *(partial(NonLocalBlock, kind=kind) for kind in get_args(Kind)),
    partial(NonLocalBlock, axes="hw"),
    partial(NonLocalBlock, axes="t", sub_sample="none"),
    *(
        partial(make, axes=axes)
        for make in (global_context, simplified_non_local)
        for axes in ("thw", "t")
    ),
    partial(global_context, pooling="avg", fusion=("add", "mul")),
    squeeze_excitation,
    CrissCrossBlock,
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_costs_the_same_by_itself_and_in_its_net_in_every_type(block, dtype):
    by_itself = count_macs(block(64), (1, 64, 2, 4, 4))
    assert by_itself > 0
    assert count_macs(block(64).to(dtype), (1, 64, 2, 4, 4)) == by_itself
    assert count_macs(block(64).to("meta"), (1, 64, 2, 4, 4)) == by_itself
    nets = [
        slow_resnet(num_classes=3, width=8, placement=p)
        for p in (Placement(block=block, res3=[1]), Placement())
    ]
    costs = [count_cost(net.to(dtype), 2, 32) for net in nets]
    assert [found.macs for found in costs[0].blocks] == [by_itself]
    assert costs[0].macs - costs[1].macs == by_itself


def test_global_context_costs_two_products_and_its_bottleneck(on_meta):
    placement = Placement(block=partial(global_context, ratio=1 / 4), **FIVE)
    cost = count_cost(on_meta(slow_resnet, num_classes=400, placement=placement), 8, 224)
    res3 = 2 * 512 * 8 * 28 * 28 + 2 * 512 * 128
    res4 = 2 * 1024 * 8 * 14 * 14 + 2 * 1024 * 256
    assert [block.macs for block in cost.blocks] == [res3] * 2 + [res4] * 3
    assert cost.num_parameters == 34_300_373
    assert cost.num_block_parameters == 34_300_373 - 32_454_096
    assert cost.block_macs < cost.macs
    assert cost.blocks[0].name == "blocks.2.res_blocks.1.branch_fusion.block"


def test_a_block_without_products_costs_nothing():
    placement = Placement(block=nn.BatchNorm3d, res3=[1])
    bare, net = (
        slow_resnet(num_classes=10, width=4),
        slow_resnet(num_classes=10, width=4, placement=placement),
    )
    cost = count_cost(net, 4, 32)
    assert [(b.macs, b.num_parameters) for b in cost.blocks] == [(0, 64)]
    assert cost.macs == count_cost(bare, 4, 32).macs


def test_counting_leaves_the_net_as_it_was():
    net = slow_resnet(num_classes=10, width=4).train()
    before = copy.deepcopy(net.state_dict())
    count_cost(net, 4, 32)
    assert net.training
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)


def test_cost_reads_as_one_line(slow):
    assert str(count_cost(slow, 8, 224)) == (
        "32.45 M parameters, 41.74 GMACs per view of 8 x 224 x 224"
    )


@pytest.mark.parametrize(("num_frames", "crop_size"), [(1, 32), (1, 8)])
def test_a_clip_too_short_for_the_strides_is_refused_with_its_size(num_frames, crop_size):
    net = c2d_resnet(num_classes=3, width=4)
    with pytest.raises(ValueError, match=f"a view of {num_frames} x {crop_size} x {crop_size}"):
        count_cost(net, num_frames, crop_size)
    assert count_cost(net, 2, crop_size).macs > 0
