"""Which axes of a feature map are pooled or attended over together."""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor

Axes = Literal["thw", "hw", "t"]
"""``"thw"``: all positions of a grid of any rank; ``"hw"``: per frame; ``"t"``: per position."""


def check_input(x: Float[Tensor, "b c *grid"], in_channels: int, axes: Axes) -> None:
    """Raise ``ValueError`` where a block for ``in_channels`` and ``axes`` cannot take ``x``."""
    if x.ndim < 3:
        raise ValueError(
            f"expected (b, c, *grid) with at least one grid axis, got shape {tuple(x.shape)}; "
            "add the missing axis with x[..., None]"
        )
    if x.shape[1] != in_channels:
        raise ValueError(
            f"expected {in_channels} channels, got {x.shape[1]}; "
            f"build the block with in_channels={x.shape[1]}"
        )
    if axes != "thw" and x.ndim != 5:
        raise ValueError(
            f"axes={axes!r} needs a (t, h, w) grid, got a grid of rank {x.ndim - 2}; "
            "axes='thw' takes any grid"
        )


def pooled_dims(ndim: int, axes: Axes) -> tuple[int, ...]:
    """Dimensions of a (b, c, *grid) tensor that are pooled together."""
    return {"thw": tuple(range(2, ndim)), "hw": (3, 4), "t": (2,)}[axes]


def fold(x: Float[Tensor, "b c *grid"], axes: Axes) -> Float[Tensor, "n c p"]:
    """Flatten the pooled axes into p positions and move the others into the batch.

    ``"thw"`` is a view of contiguous and of channels-last input alike; ``"hw"`` only of the latter.
    """
    if axes == "hw":
        x = x.transpose(1, 2).flatten(0, 1)  # (b t, c, h, w)
    elif axes == "t":
        x = x.permute(0, 3, 4, 1, 2).flatten(0, 2)  # (b h w, c, t)
    return x.flatten(2)


def unfold(x: Float[Tensor, "n c p"], grid: Sequence[int], axes: Axes) -> Float[Tensor, "b c ..."]:
    """Undo `fold` for a feature map with the given grid sizes; c may have changed in between."""
    if axes == "hw":
        t, h, w = grid
        return x.unflatten(2, (h, w)).unflatten(0, (-1, t)).transpose(1, 2)
    if axes == "t":
        _, h, w = grid
        return x.unflatten(0, (-1, h, w)).permute(0, 3, 4, 1, 2)
    return x.unflatten(2, tuple(grid))
