"""The seams where a context block enters a residual block without changing a parameter name."""

from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor, nn

from gcvideo.nn._choice import check_choice

Position = Literal["after_conv3", "after_add", "after_relu"]
"""Behind the last convolution of the residual, the addition, or the final activation."""

FusionPosition = Literal["after_conv3", "after_add"]


class ResidualFusion(nn.Module):
    """Addition of shortcut and residual with a context block before or behind it.

        after_conv3:  y = shortcut + block(residual)
        after_add:    y = block(shortcut + residual)

    "after_conv3" is where the GCNet authors' code (arXiv:1904.11492) puts the GC block. For
    "after_relu" see `ActivationThenBlock`.

    Args:
        block: the context block, shape-preserving.
        position: "after_conv3" or "after_add".

    Raises:
        ValueError: for an unknown ``position``.
    """

    def __init__(self, block: nn.Module, position: FusionPosition = "after_conv3") -> None:
        super().__init__()
        check_choice("position", position, get_args(FusionPosition))
        self.block = block
        self.position: FusionPosition = position

    def forward(
        self, shortcut: Float[Tensor, "b c *grid"], residual: Float[Tensor, "b c *grid"]
    ) -> Float[Tensor, "b c *grid"]:
        if self.position == "after_conv3":
            return shortcut + self.block(residual)
        return self.block(shortcut + residual)

    def extra_repr(self) -> str:
        return f"position={self.position!r}"


class ActivationThenBlock(nn.Module):
    """Final activation of a residual block with a context block behind it ("after_relu").

        y = block(activation(x))

    The position of non-local blocks in video code. The module replaces the activation, which has no
    parameters, so existing parameter names stay.

    Args:
        activation: the activation it replaces.
        block: the context block, shape-preserving.
    """

    def __init__(self, activation: nn.Module, block: nn.Module) -> None:
        super().__init__()
        self.activation = activation
        self.block = block

    def forward(self, x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *grid"]:
        return self.block(self.activation(x))
