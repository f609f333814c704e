"""The equations of attention pooling in plain operations, all of whose derivatives torch knows."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gcvideo.nn._autocast import without_autocast


def attention_weights(
    x: Float[Tensor, "n c p"], weight: Float[Tensor, "1 c"], bias: Float[Tensor, "1"]
) -> Float[Tensor, "n p"]:
    """Weights of attention pooling, which sum to one over the positions.

        a_j = exp(w . x_j + b) / sum_m exp(w . x_m + b)

    Computed and returned in float32 or wider, also under autocast: bfloat16 logits and a bfloat16
    softmax over thousands of positions lose the small weights. The bias cancels in the softmax; it
    exists because published weights have it.

    Source: Cao et al., GCNet (arXiv:1904.11492), Eq. 3.
    """
    dtype = accumulated(x)
    if is_wrapper(weight):
        return F.linear(x.mT, weight, bias).squeeze(2).to(dtype).softmax(-1)
    with without_autocast(x):
        # One product for both memory formats: reading x as (c, p) or as (p, c) costs no copy.
        rows = weight.to(dtype).expand(x.shape[0], 1, -1)
        return (torch.bmm(rows, x.to(dtype)) + bias.to(dtype)).softmax(-1).squeeze(1)


def context_and_weights(
    x: Float[Tensor, "n c p"], weight: Float[Tensor, "1 c"], bias: Float[Tensor, "1"]
) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n p"]]:
    """Context sum_j a_j x_j and the weights a, both in float32 or wider."""
    weights = attention_weights(x, weight, bias)
    return _over_positions(weights, x), weights


def context_of_grid(
    x: Float[Tensor, "b c t h w"],
    weight: Float[Tensor, "1 c"],
    bias: Float[Tensor, "1"],
    pooled: tuple[int, ...],
) -> Float[Tensor, "b c *kept"]:
    """Context over neighbouring axes of a grid, in float32 or wider, without moving or joining axes of x.

    For programs that lay out feature maps as they like, and would have to lay them out anew for a matrix
    product over positions.
    """
    dtype, first = accumulated(x), pooled[0]
    with without_autocast(x):
        logits = F.conv3d(x.to(dtype), weight.to(dtype)[..., None, None, None], bias.to(dtype))
        rows = logits.flatten(first, pooled[-1]).softmax(first)
        weights = rows.unflatten(first, [x.shape[dim] for dim in pooled])
        return (x.to(dtype) * weights).sum(pooled)


def gradients(
    dy: Float[Tensor, "n c p"] | None,
    g: Float[Tensor, "n c"],
    x: Float[Tensor, "n c p"],
    weight: Float[Tensor, "1 c"],
    bias: Float[Tensor, "1"],
) -> tuple[Float[Tensor, "n c p"], Float[Tensor, "1 c"]]:
    """What ``gcvideo::attention_pool_backward`` gives, such that it can be differentiated again."""
    context, a = context_and_weights(x, weight, bias)
    g = g.to(a.dtype).unsqueeze(1)
    with without_autocast(x):
        s = a * (torch.bmm(g, x.to(a.dtype)).squeeze(1) - torch.bmm(g, context.unsqueeze(2))[:, 0])
    dx = g.mT * a.unsqueeze(1) + weight.to(a.dtype).mT * s.unsqueeze(1)
    if dy is not None:
        dx = dx + dy
    return dx.to(x.dtype), _over_positions(s, x).sum(0, keepdim=True).to(weight.dtype)


def is_wrapper(weight: Tensor) -> bool:
    """Whether a tensor has a class of its own, as quantized ones do, which only supports torch's layers."""
    return hasattr(weight, "__tensor_flatten__")


def accumulated(x: Tensor) -> torch.dtype:
    """The type of sums over x."""
    return torch.promote_types(x.dtype, torch.float32)


def _over_positions(
    factors: Float[Tensor, "n p"], x: Float[Tensor, "n c p"]
) -> Float[Tensor, "n c"]:
    with without_autocast(x):
        return torch.bmm(factors.unsqueeze(1), x.to(factors.dtype).mT).squeeze(1)
