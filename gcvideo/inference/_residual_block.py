"""Residual blocks for inference."""

from typing import Any, TypeGuard, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gcvideo.inference._fused_convolution import FusedConv3d
from gcvideo.models._backbone import BottleneckBlock, ResBlock
from gcvideo.nn import ActivationThenBlock, Axes, ContextBlock, ResidualFusion, VideoConv3d
from gcvideo.nn._context import Transform, along_grid, pool_context

_Input = Float[Tensor, "n c t h w"]
_Result = Float[Tensor, "n d u y x"]


class ContextOfInput(nn.Module):
    """The update and the gate of a context block behind a convolution, from the input of the convolution.

    With r_j = W u_j + b, the block's attention and context of r are

        a = softmax_j(W_k r_j) = softmax_j((W_k W) u_j),    sum_j a_j r_j = W (sum_j a_j u_j) + b

    so that it can be computed before the convolution, whose input has a quarter of the channels in a
    bottleneck. W and b go into the first layer of each transform.

    Args:
        block: context block behind the convolution.
        conv: convolution with a kernel of one position.
    """

    def __init__(self, block: ContextBlock, conv: nn.Conv3d) -> None:
        super().__init__()
        weight, bias = conv.weight.detach().flatten(1), cast(Tensor, conv.bias).detach()
        self.axes: Axes = block.axes
        self.mul_scale = block.mul_scale
        self.mask = None if block.mask is None else _behind(block.mask, weight, bias)
        self.mul_transform = _transform_behind(block.mul_transform, weight, bias)
        self.add_transform = _transform_behind(block.add_transform, weight, bias)

    def forward(
        self, u: _Input
    ) -> tuple[Float[Tensor, "n d ..."] | None, Float[Tensor, "n d ..."] | None]:
        """The update and the gate; None for one that the block does not have."""
        context = pool_context(u, self.mask, self.axes)
        update, gate = (
            None if transform is None else along_grid(transform, context, u.ndim, self.axes)
            for transform in (self.add_transform, self.mul_transform)
        )
        return update, None if gate is None else self.mul_scale * gate.sigmoid()


class InferenceBlock(nn.Module):
    """A bottleneck block with folded batch norms, whose convolutions compute what follows them.

    Its results are those of the residual block up to rounding.

    Args:
        block: residual block that :func:`is_plain` accepts; its modules are taken over.
    """

    def __init__(self, block: ResBlock) -> None:
        super().__init__()
        given, branch = cast(Any, block), cast(Any, block.branch2)
        fusion, activation = given.branch_fusion, given.activation
        inner = fusion.block if isinstance(fusion, ResidualFusion) else None
        position = fusion.position if isinstance(fusion, ResidualFusion) else None
        self.shortcut = None
        if given.branch1_conv is not None:
            self.shortcut = FusedConv3d.of(given.branch1_conv, relu=False)
        self.conv_a = FusedConv3d.of(branch.conv_a, relu=True)
        self.conv_b = FusedConv3d.of(branch.conv_b, relu=True)
        self.context = self.fusion = None
        is_pooled_before = position == "after_conv3" and _has_one_position(branch.conv_c)
        if is_pooled_before and _is_known(inner):
            self.context = ContextOfInput(inner, branch.conv_c)
        elif position is not None:
            self.fusion = fusion
        self.conv_c = FusedConv3d.of(branch.conv_c, relu=self.fusion is None)
        self.block = activation.block if isinstance(activation, ActivationThenBlock) else None

    def forward(self, x: _Input) -> _Result:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        u = self.conv_b(self.conv_a(x))
        if self.fusion is not None:
            y = F.relu(self._fused(u, shortcut))
        elif self.context is not None:
            y = self.conv_c(u, shortcut, *self.context(u))
        else:
            y = self.conv_c(u, shortcut)
        return y if self.block is None else self.block(y)

    @property
    def branch_fusion(self) -> Any:
        raise ValueError(
            "the net was made for inference, where its context blocks are part of other layers; take the "
            "net that it was made of"
        )

    def _fused(self, u: _Input, shortcut: _Result) -> _Result:
        fusion = cast(ResidualFusion, self.fusion)
        if fusion.position == "after_add":
            return fusion.block(self.conv_c(u, shortcut))
        return fusion(shortcut, self.conv_c(u))


def is_plain(block: ResBlock) -> bool:
    """Whether a residual block is a bottleneck of folded convolutions and ReLUs, summed with its shortcut.

    A block that a user has changed, or whose modules have hooks, is not.
    """
    given, branch = cast(Any, block), cast(Any, block.branch2)
    if type(block) is not ResBlock or type(branch) is not BottleneckBlock or has_hooks(block):
        return False
    convs: list[Any] = [branch.conv_a, branch.conv_b, branch.conv_c]
    norms = [branch.norm_a, branch.norm_b, branch.norm_c]
    activation = given.activation
    if type(activation) is ActivationThenBlock:
        activation = activation.activation
    if given.branch1_conv is not None:
        convs.append(given.branch1_conv)
        norms.append(given.branch1_norm)
    return (
        all(is_own(conv) and conv.bias is not None for conv in convs)
        and all(norm is None or type(norm) is nn.Identity for norm in norms)
        and all(type(act) is nn.ReLU for act in (branch.act_a, branch.act_b, activation))
        and (type(given.branch_fusion) is ResidualFusion or _is_sum(given.branch_fusion))
    )


def is_own(conv: nn.Module) -> bool:
    """Whether a convolution is one of torch or of this package, and not a subclass with a way of its own."""
    return type(conv) in (nn.Conv3d, VideoConv3d)


def has_hooks(module: nn.Module) -> bool:
    """Whether someone looks at the modules inside."""
    return any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def _is_known(block: nn.Module | None) -> TypeGuard[ContextBlock]:
    """Whether a block is a context block all of whose parts compute what their class says."""
    if type(block) is not ContextBlock:
        return False
    parts = [(block.mask, nn.Linear)]
    parts += [(transform, Transform) for transform in (block.mul_transform, block.add_transform)]
    return all(part is None or type(part) is kind for part, kind in parts)


def _is_sum(fusion: Any) -> bool:
    """Whether it is the nameless function that pytorchvideo puts there."""
    return not isinstance(fusion, nn.Module) and fusion.__module__ == ResBlock.__module__


def _has_one_position(conv: nn.Conv3d) -> bool:
    sizes = conv.kernel_size, conv.stride, conv.dilation
    return all(size == (1, 1, 1) for size in sizes) and conv.groups == 1 and not any(conv.padding)


def _transform_behind(
    transform: Transform | None, weight: Tensor, bias: Tensor
) -> nn.Sequential | None:
    if transform is None:
        return None
    layers = [transform.reduce, transform.norm, transform.activation, transform.expand]
    layers = [layer for layer in layers if not isinstance(layer, nn.Identity)]
    return nn.Sequential(_behind(cast(nn.Linear, layers[0]), weight, bias), *layers[1:])


def _behind(linear: nn.Linear, weight: Float[Tensor, "d c"], bias: Float[Tensor, "d"]) -> nn.Linear:
    """One linear layer for the two that come one after the other."""
    joined = nn.Linear(
        weight.shape[1], linear.out_features, device=weight.device, dtype=weight.dtype
    )
    with torch.no_grad(), torch.autocast(weight.device.type, enabled=False):
        outer = linear.weight.double()
        joined.weight.copy_(outer @ weight.double())
        joined.bias.copy_(outer @ bias.double() + linear.bias)
    return joined
