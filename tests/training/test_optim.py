import functools

import pytest
import torch
from torch import nn

from gcvideo.models import Placement, slow_resnet
from gcvideo.nn import CrissCrossBlock, global_context
from gcvideo.training import parameter_groups, scaled_lr


def net_with(block):
    return slow_resnet(num_classes=3, width=4, placement=Placement(block=block, res4=[0, 2]))


def groups_of(net, **changes):
    given = {"lr": 0.1, "weight_decay": 1e-4, "block_lr_multiplier": 5.0}
    groups = parameter_groups(net, **(given | changes))
    return {group["name"]: group for group in groups}


def test_every_parameter_is_in_one_group():
    net = net_with(functools.partial(global_context, ratio=1 / 4))
    grouped = [id(p) for group in groups_of(net).values() for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in net.parameters())


def test_inserted_blocks_have_their_own_rate():
    net = net_with(functools.partial(global_context, ratio=1 / 4))
    groups = groups_of(net)
    block_ids = {id(p) for name, p in net.named_parameters() if "branch_fusion" in name}
    for name, group in groups.items():
        in_blocks = {id(p) in block_ids for p in group["params"]}
        assert in_blocks == {name.startswith("blocks")}
        assert group["lr"] == pytest.approx(0.5 if name.startswith("blocks") else 0.1)


def test_a_scalar_gain_is_not_decayed():
    net = net_with(functools.partial(CrissCrossBlock, recurrence=1))
    gains = {id(p) for name, p in net.named_parameters() if name.endswith("gamma")}
    assert gains
    undecayed = groups_of(net)["blocks without decay"]["params"]
    assert gains <= {id(p) for p in undecayed}


def test_frozen_parameters_are_left_out():
    net = net_with(functools.partial(global_context, ratio=1 / 4))
    net.requires_grad_(False)
    net.blocks[-1].requires_grad_(True)
    grouped = [p for group in groups_of(net).values() for p in group["params"]]
    assert len(grouped) == 2


def test_a_step_moves_norms_by_the_gradient_alone():
    """With zero gradients, decay shrinks weights and nothing else."""
    net = net_with(functools.partial(global_context, ratio=1 / 4))
    for parameter in net.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    torch.optim.SGD(parameter_groups(net, lr=1.0, weight_decay=0.1), lr=1.0).step()
    for name, parameter in net.named_parameters():
        module = net.get_submodule(name.rpartition(".")[0])
        kept = name.endswith("bias") or isinstance(module, nn.BatchNorm3d | nn.LayerNorm)
        expected = torch.full_like(parameter, 1.0 if kept else 0.9)
        torch.testing.assert_close(parameter.data, expected, msg=name)


def test_the_rate_scales_linearly_with_the_batch():
    assert scaled_lr(0.1, 64, 256) == pytest.approx(0.4)
