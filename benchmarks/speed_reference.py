"""Blocks of other packages with the weights of ours, on clips whose frames stand below each other."""

from importlib import import_module
from typing import Any, cast

import torch
from jaxtyping import Float
from published_block import global_context_parts
from torch import Tensor, nn

from gcvideo.nn import ContextBlock


class OnFrameColumn(nn.Module):
    """Feeds a clip to a block for images: frames below each other, which pooling does not notice.

    Args:
        block: maps (b, c, t * h, w) to the same shape.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        return self.block(x.flatten(2, 3)).unflatten(2, x.shape[2:4])


def timm_global_context(block: ContextBlock) -> nn.Module:
    """The ``GlobalContext`` of timm, in place of a block with the published settings.

    Raises:
        ImportError: without timm.
        ValueError: for a block with other settings.
    """
    mask, transform = global_context_parts(block)
    make: Any = import_module("timm.layers").GlobalContext
    width = transform.expand.in_features
    other = make(block.in_channels, rd_channels=width, fuse_add=True, fuse_scale=False)
    _copy(mask, other.conv_attn)
    _copy(cast(nn.Linear, transform.reduce), other.mlp_add.fc1)
    _copy_norm(cast(nn.LayerNorm, transform.norm), other.mlp_add.norm)
    _copy(transform.expand, other.mlp_add.fc2)
    return OnFrameColumn(other)


def mmcv_context_block(block: ContextBlock) -> nn.Module:
    """The ``ContextBlock`` of mmcv, in place of a block with the published settings.

    Raises:
        ImportError: without mmcv.
        ValueError: for a block with other settings.
    """
    mask, transform = global_context_parts(block)
    make: Any = import_module("mmcv.cnn.bricks.context_block").ContextBlock
    other = make(block.in_channels, ratio=transform.expand.in_features / block.in_channels)
    _copy(mask, other.conv_mask)
    reduce, norm, _, expand = other.channel_add_conv
    _copy(cast(nn.Linear, transform.reduce), reduce)
    _copy_norm(cast(nn.LayerNorm, transform.norm), norm)
    _copy(transform.expand, expand)
    return OnFrameColumn(other)


def timm_squeeze_excitation(block: ContextBlock) -> nn.Module:
    """The ``SqueezeExcite`` of timm, in place of a squeeze-and-excitation block.

    Raises:
        ImportError: without timm.
        ValueError: for a block with other settings.
    """
    transform = block.mul_transform
    if (
        block.mask is not None
        or block.add_transform is not None
        or transform is None
        or not isinstance(transform.norm, nn.Identity)
        or not isinstance(transform.reduce, nn.Linear)
        or block.mul_scale != 1
    ):
        raise ValueError(
            f"the block is {block}; timm's SqueezeExcite is that of gcvideo.nn.squeeze_excitation "
            "with axes='thw' and mul_start='half'"
        )
    make: Any = import_module("timm.layers").SqueezeExcite
    other = make(block.in_channels, rd_channels=transform.expand.in_features)
    _copy(transform.reduce, other.fc1)
    _copy(transform.expand, other.fc2)
    return OnFrameColumn(other)


@torch.no_grad()
def _copy(layer: nn.Linear, convolution: nn.Conv2d) -> None:
    convolution.weight.copy_(layer.weight.view_as(convolution.weight))
    assert convolution.bias is not None
    convolution.bias.copy_(layer.bias)


@torch.no_grad()
def _copy_norm(norm: nn.LayerNorm, other: nn.LayerNorm) -> None:
    other.weight.copy_(norm.weight.view_as(other.weight))
    other.bias.copy_(norm.bias.view_as(other.bias))
    other.eps = norm.eps
