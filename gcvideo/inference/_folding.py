"""Nets for inference only: faster, but they cannot be trained."""

import copy
from collections.abc import Iterator
from typing import Any, TypeVar, cast

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from gcvideo.models._backbone import Net, ResStage
from gcvideo.nn import NonLocalBlock

_Module = TypeVar("_Module", bound=nn.Module)


def fold_batch_norms(model: _Module) -> _Module:
    """A copy in evaluation mode with the batch norms folded into the layers before them.

        W' = W g / sqrt(var + eps),    b' = (b - mean) g / sqrt(var + eps) + beta

    This covers the pairs whose order is known: the stem and residual blocks of a pytorchvideo ResNet, and
    the last layer of non-local blocks. Other batch norms, such as those in a block of your own, stay.
    """
    folded = copy.deepcopy(model).eval()
    for owner, layer_name, norm_name in _pairs(folded):
        layer, norm = getattr(owner, layer_name, None), getattr(owner, norm_name, None)
        if isinstance(layer, nn.Conv3d) and isinstance(norm, nn.BatchNorm3d):
            setattr(owner, layer_name, fuse_conv_bn_eval(layer, norm))
        elif isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
            setattr(owner, layer_name, fuse_linear_bn_eval(layer, norm))
        else:
            continue
        setattr(owner, norm_name, nn.Identity())
    return folded


def for_inference(model: _Module) -> _Module:
    """A copy with folded batch norms and in-place ReLUs; its results are the same up to rounding.

    Allocating memory costs more than a ReLU.
    """
    prepared = fold_batch_norms(model)
    for stage in prepared.modules():
        if isinstance(stage, ResStage):
            for block in cast(Any, stage).res_blocks:
                for relu in (block.activation, block.branch2.act_a, block.branch2.act_b):
                    if isinstance(relu, nn.ReLU):
                        relu.inplace = True
    return prepared


def _pairs(model: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Owner, name of layer, name of norm; a residual block without projection lacks the first pair."""
    for module in model.modules():
        if isinstance(module, Net):
            yield cast(Any, module).blocks[0], "conv", "norm"
        elif isinstance(module, ResStage):
            for block in cast(Any, module).res_blocks:
                yield block, "branch1_conv", "branch1_norm"
                for letter in "abc":
                    yield block.branch2, f"conv_{letter}", f"norm_{letter}"
        elif isinstance(module, NonLocalBlock):
            yield module, "out", "norm"
