"""Context blocks as they were published, to compare ours with: nothing fused, every map in memory."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gcvideo.nn import ContextBlock, NonLocalBlock
from gcvideo.nn._context import Transform


class PublishedContextBlock(nn.Module):
    """Global context block in the form of its authors' code, for clips.

        c = sum_j softmax_j(W_k x_j) x_j,    z_i = x_i + W_v2 ReLU(LN(W_v1 c))

    The mask is a 1x1x1 convolution, the sum over positions a matrix product with the softmax, and the
    transform two 1x1x1 convolutions on a single position with a LayerNorm over (c, 1, 1, 1).

    Source: Cao et al., GCNet (arXiv:1904.11492), Eq. 4, and its code (``ContextBlock``), with one
    more axis for time.

    Args:
        block: gives sizes and weights, which are copied: attention pooling over all axes, a bottleneck
            with LayerNorm and ReLU, addition.

    Raises:
        ValueError: for a block with other settings.
    """

    def __init__(self, block: ContextBlock) -> None:
        super().__init__()
        mask, transform = global_context_parts(block)
        self.conv_mask = _as_convolution(mask)
        self.channel_add_conv = nn.Sequential(
            _as_convolution(cast(nn.Linear, transform.reduce)),
            _as_grid_norm(cast(nn.LayerNorm, transform.norm)),
            nn.ReLU(inplace=True),
            _as_convolution(transform.expand),
        )

    def pool(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c 1 1 1"]:
        """The context vector."""
        values = x.reshape(*x.shape[:2], -1).unsqueeze(1)  # (b, 1, c, p)
        weights = self.conv_mask(x).reshape(len(x), 1, -1).softmax(dim=2)
        return torch.matmul(values, weights.unsqueeze(-1)).view(*x.shape[:2], 1, 1, 1)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        return x + self.channel_add_conv(self.pool(x))


class PublishedNonLocalBlock(nn.Module):
    """Non-local block in the form of its authors' code: the map over all pairs stands in memory.

        embedded_gaussian  a_ij = softmax_j(s theta(x_i) . phi(x_j))
        dot_product        a_ij = theta(x_i) . phi(x_j) / N
        z_i = x_i + BN(W_z sum_j a_ij g(x_j))

    All projections are 1x1x1 convolutions; keys are max-pooled by 2 in space before phi and g.

    Source: Wang et al., Non-local Neural Networks (arXiv:1711.07971), Eq. 1-6, as in its code and
    in PySlowFast's.

    Args:
        block: gives sizes and weights, which are copied: one of the two kinds over all axes, with
            ``sub_sample="before"`` and a batch norm.

    Raises:
        ValueError: for a block with other settings.
    """

    def __init__(self, block: NonLocalBlock) -> None:
        super().__init__()
        if (
            block.kind not in ("embedded_gaussian", "dot_product")
            or (block.axes, block.sub_sample) != ("thw", "before")
            or block.norm is None
        ):
            raise ValueError(
                f"the block is {block}; the published form is there for embedded_gaussian and "
                "dot_product with axes='thw', sub_sample='before' and norm=True"
            )
        self.has_softmax = block.kind == "embedded_gaussian"
        self.scale = block.scale
        self.conv_theta = _as_convolution(cast(nn.Linear, block.theta))
        self.conv_phi = _as_convolution(cast(nn.Linear, block.phi))
        self.conv_g = _as_convolution(block.g)
        self.conv_out = _as_convolution(block.out)
        weight = block.norm.weight
        self.bn = nn.BatchNorm3d(
            block.in_channels, eps=block.norm.eps, device=weight.device, dtype=weight.dtype
        )
        self.bn.load_state_dict(block.norm.state_dict())

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        pooled = F.max_pool3d(x, (1, 2, 2))
        theta = self.conv_theta(x).flatten(2)
        phi, g = self.conv_phi(pooled).flatten(2), self.conv_g(pooled).flatten(2)
        pairs = torch.einsum("ncp,nck->npk", theta, phi)
        pairs = (pairs * self.scale).softmax(2) if self.has_softmax else pairs / pairs.shape[2]
        y = torch.einsum("npk,nck->ncp", pairs, g)
        return x + self.bn(self.conv_out(y.view(len(x), -1, *x.shape[2:])))


def global_context_parts(block: ContextBlock) -> tuple[nn.Linear, Transform]:
    """Mask and transform of a global context block with the published settings.

    Raises:
        ValueError: for a block with other settings.
    """
    transform = block.add_transform
    if (
        block.mask is None
        or block.axes != "thw"
        or block.mul_transform is not None
        or transform is None
        or not isinstance(transform.norm, nn.LayerNorm)
        or not isinstance(transform.activation, nn.ReLU)
    ):
        raise ValueError(
            f"the block is {block}; the published form is there for pooling='att', axes='thw', a ratio "
            "with norm and activation, and fusion=('add',)"
        )
    return block.mask, transform


def _as_convolution(layer: nn.Linear) -> nn.Conv3d:
    """The same function of every position as a 1x1x1 convolution with a copy of the weights."""
    convolution = nn.Conv3d(
        layer.in_features,
        layer.out_features,
        1,
        bias=layer.bias is not None,
        device=layer.weight.device,
        dtype=layer.weight.dtype,
    )
    with torch.no_grad():
        convolution.weight.copy_(layer.weight.view_as(convolution.weight))
        if convolution.bias is not None:
            convolution.bias.copy_(layer.bias)
    return convolution


def _as_grid_norm(norm: nn.LayerNorm) -> nn.LayerNorm:
    shape = [*norm.normalized_shape, 1, 1, 1]
    on_grid = nn.LayerNorm(shape, eps=norm.eps, device=norm.weight.device, dtype=norm.weight.dtype)
    with torch.no_grad():
        on_grid.weight.copy_(norm.weight.view(shape))
        on_grid.bias.copy_(norm.bias.view(shape))
    return on_grid
