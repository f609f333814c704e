import copy
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gcvideo.models.backbone import ResStage

_Module = TypeVar("_Module", bound=nn.Module)


def for_single_threads(model: _Module) -> _Module:
    """A copy for inference that gives the same numbers sooner where torch has one thread.

    With one thread and fewer than 16 clips, torch computes 3-D convolutions with a kernel of 1 x 1
    pixels on a slow path. Kernels 1 x 1 x 1 become matrix products over the channels, kernels
    t x 1 x 1 become 2-D convolutions over frames and pixels; both are at their best in
    ``channels_last_3d`` memory format. The ReLUs of residual blocks write over what they read, for
    new memory costs more than they do. Everything else stays.
    """
    copied = copy.deepcopy(model)
    for owner in list(copied.modules()):
        for name, child in list(owner.named_children()):
            if isinstance(child, nn.Conv3d) and _is_pointwise(child):
                kind = _Pointwise if child.kernel_size[0] == 1 else _Temporal
                setattr(owner, name, kind(child))
        if isinstance(owner, ResStage):
            for block in cast(Any, owner).res_blocks:
                for relu in (block.activation, block.branch2.act_a, block.branch2.act_b):
                    if isinstance(relu, nn.ReLU):
                        relu.inplace = True
    return copied


def _is_pointwise(conv: nn.Conv3d) -> bool:
    return (
        tuple(conv.kernel_size[1:]) == (1, 1)
        and tuple(conv.stride) == (1, 1, 1)
        and tuple(conv.padding) == (conv.padding[0], 0, 0)
        and (conv.kernel_size[0] > 1 or conv.padding[0] == 0)
        and conv.dilation[0] == conv.groups == 1
        and conv.padding_mode == "zeros"
    )


class _Pointwise(nn.Module):
    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.flatten(1), requires_grad=False)
        self.bias = conv.bias

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t h w"]:
        return F.linear(x.movedim(1, 4), self.weight, self.bias).movedim(4, 1)


class _Temporal(nn.Module):
    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        weight = conv.weight.squeeze(4).contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = conv.bias
        self.padding = (int(conv.padding[0]), 0)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d u h w"]:
        over_pixels = F.conv2d(x.flatten(3), self.weight, self.bias, padding=self.padding)
        return over_pixels.unflatten(3, x.shape[3:])
