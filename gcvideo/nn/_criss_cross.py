"""Criss-cross attention on a grid of any rank."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gcvideo.nn._grid import check_input


class CrissCrossBlock(nn.Module):
    """Criss-cross block: every position attends to the grid lines through it.

        x_i <- x_i + gamma sum_{j in L(i)} a_ij v(x_j)
        a_i  = softmax_{j in L(i)}(q(x_i) . k(x_j))

    applied ``recurrence`` times with the same weights. L(i) holds the positions that share all but
    one coordinate with i: row, column and, on a (t, h, w) grid, the time line; i itself counts
    once. gamma starts at zero, so a fresh block is the identity, bit for bit. R passes connect
    positions that differ in up to R coordinates; a map costs O(N (T + H + W)).

    Source: Huang et al., CCNet (arXiv:1811.11721).
    Differs from the paper: any grid rank instead of images, and the attention alone, without the
    segmentation head's convolutions around it.

    Args:
        in_channels: C of the feature map.
        recurrence: number of passes R.
        reduction: C / channels of queries and keys.

    Raises:
        ValueError: if ``recurrence`` is below one or ``reduction`` leaves no channel; in
            ``forward`` for a wrong number of channels.

    Example:
        >>> CrissCrossBlock(16)(torch.zeros(2, 16, 4, 6, 6)).shape
        torch.Size([2, 16, 4, 6, 6])
    """

    def __init__(self, in_channels: int, *, recurrence: int = 2, reduction: int = 8) -> None:
        super().__init__()
        if recurrence < 1:
            raise ValueError(f"recurrence must be at least 1, got {recurrence}; CCNet uses 2")
        if not 1 <= reduction <= in_channels:
            raise ValueError(
                f"reduction {reduction} of {in_channels} channels leaves no valid query width; "
                f"choose 1 to {in_channels}"
            )
        self.in_channels = in_channels
        self.recurrence = recurrence
        self.query = nn.Linear(in_channels, in_channels // reduction)
        self.key = nn.Linear(in_channels, in_channels // reduction)
        self.value = nn.Linear(in_channels, in_channels)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Default initialisation of the projections, gamma zero."""
        for layer in (self.query, self.key, self.value):
            layer.reset_parameters()
        nn.init.zeros_(self.gamma)

    def forward(self, x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *grid"]:
        check_input(x, self.in_channels, "thw")
        for _ in range(self.recurrence):
            rows = x.movedim(1, -1)
            y = attend_lines(self.query(rows), self.key(rows), self.value(rows)).movedim(-1, 1)
            x = x + (self.gamma * y).to(x.dtype)
        return x

    def extra_repr(self) -> str:
        return f"in_channels={self.in_channels}, recurrence={self.recurrence}"


def attend_lines(
    query: Float[Tensor, "b *grid d"],
    key: Float[Tensor, "b *grid d"],
    value: Float[Tensor, "b *grid c"],
) -> Float[Tensor, "b *grid c"]:
    """One criss-cross attention: a joint softmax over the grid lines through each position."""
    axes = range(1, query.ndim - 1)
    scores = []
    for axis in axes:
        line = _lines(query, axis) @ _lines(key, axis).mT  # (b, *others, l, l)
        if axis > 1:  # the first line has counted the position itself
            itself = torch.eye(line.shape[-1], dtype=torch.bool, device=line.device)
            line = line.masked_fill(itself, float("-inf"))
        scores.append(line.movedim(-2, axis))  # (b, *grid, l)
    joint = torch.cat(scores, dim=-1)
    weights = joint.softmax(-1, dtype=torch.promote_types(joint.dtype, torch.float32))
    parts = weights.to(value.dtype).split([query.shape[axis] for axis in axes], dim=-1)
    y = torch.zeros_like(value)
    for axis, part in zip(axes, parts, strict=True):
        y = y + (part.movedim(axis, -2) @ _lines(value, axis)).movedim(-2, axis)
    return y


def _lines(rows: Float[Tensor, "b *grid d"], axis: int) -> Float[Tensor, "b *others l d"]:
    return rows.movedim(axis, -2)
