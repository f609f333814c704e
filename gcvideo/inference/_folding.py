"""Nets for inference only: faster, but they cannot be trained."""

import copy
from itertools import product
from typing import Any, TypeVar, cast

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from gcvideo.inference._fused_convolution import FusedConv3d, PackedConv3d
from gcvideo.inference._residual_block import InferenceBlock, has_hooks, is_own, is_plain
from gcvideo.models._backbone import BottleneckBlock, ResBlock, ResNetBasicStem, ResStage
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


def for_inference(model: _Module, packed: torch.dtype | None = None) -> _Module:
    """A copy for inference only, whose results are the same up to rounding.

    Batch norms are folded, sums and ReLUs overwrite the results of the convolutions before them, and context
    blocks behind a 1x1x1 convolution pool its input, see
    :class:`~gcvideo.inference._residual_block.ContextOfInput`.

    Args:
        model: net or module with nets of this package.
        packed: type in which oneDNN computes the convolutions, see
            :func:`~gcvideo.inference._fused_convolution.packable_type`; None: as they are.
    """
    prepared = fold_batch_norms(model)
    for module in [*prepared.modules()]:
        if isinstance(module, ResNetBasicStem):
            _fuse_stem(module, packed)
        elif isinstance(module, ResStage):
            blocks = cast(Any, module).res_blocks
            for index, block in enumerate(blocks):
                if isinstance(block, ResBlock) and is_plain(block):
                    blocks[index] = InferenceBlock(block)
                    if packed is not None:
                        # The first block of a stage reads what others may still read.
                        _pack(blocks[index], packed, owns_input=index > 0)
    return prepared


def _fuse_stem(stem: Any, packed: torch.dtype | None) -> None:
    is_folded = stem.norm is None or isinstance(stem.norm, nn.Identity)
    is_plain_stem = is_own(stem.conv) and type(stem.activation) is nn.ReLU and not has_hooks(stem)
    if is_folded and is_plain_stem:
        stem.conv = FusedConv3d.of(stem.conv, relu=True)
        stem.activation = nn.Identity()
        if packed is not None:
            _pack(stem, packed, owns_input=False)


def _pack(owner: nn.Module, dtype: torch.dtype, *, owns_input: bool) -> None:
    """Pack the convolutions among the modules of an owner."""
    overwrites = owns_input or getattr(owner, "shortcut", None) is not None
    for name, conv in owner.named_children():
        if not isinstance(conv, FusedConv3d) or isinstance(conv.padding, str):
            continue
        if conv.groups == 1 and conv.padding_mode == "zeros":
            setattr(owner, name, PackedConv3d(conv, dtype, overwrites=overwrites))
