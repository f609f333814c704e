"""Nets for inference only: faster, but they cannot be trained."""

import copy
from itertools import product
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from gcvideo.models._backbone import BottleneckBlock, ResBlock, ResNetBasicStem
from gcvideo.nn import NonLocalBlock

_Module = TypeVar("_Module", bound=nn.Module)
# Modules whose order of layer and norm is known, and the names of such pairs.
_OWNERS = (ResNetBasicStem, ResBlock, BottleneckBlock, NonLocalBlock)
_PAIRS = [
    *[("conv", "norm"), ("branch1_conv", "branch1_norm"), ("out", "norm")],
    *[(f"conv_{letter}", f"norm_{letter}") for letter in "abc"],
]


def fold_batch_norms(model: _Module) -> _Module:
    """A copy in evaluation mode with the batch norms folded into the layers before them.

        W' = W g / sqrt(var + eps),    b' = (b - mean) g / sqrt(var + eps) + beta

    This covers the pairs whose order is known: the stem and residual blocks of a pytorchvideo ResNet, and
    the last layer of non-local blocks. Other batch norms, such as those in a block of your own, stay.
    """
    folded = copy.deepcopy(model).eval()
    owners = [module for module in folded.modules() if isinstance(module, _OWNERS)]
    for owner, (layer_name, norm_name) in product(owners, _PAIRS):
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
    for block in prepared.modules():
        if isinstance(block, ResBlock | BottleneckBlock):
            for relu in block.children():
                if isinstance(relu, nn.ReLU):
                    relu.inplace = True
    return prepared
