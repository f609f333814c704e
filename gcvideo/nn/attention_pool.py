"""Attention pooling: a softmax-weighted mean over positions with one query for all of them."""

import torch
from jaxtyping import Float
from torch import Tensor


def attention_weights(
    x: Float[Tensor, "n c p"], weight: Float[Tensor, "1 c"], bias: Float[Tensor, "1"]
) -> Float[Tensor, "n p"]:
    """Weights of attention pooling, which sum to one over the positions.

        a_j = exp(w . x_j + b) / sum_m exp(w . x_m + b)

    Computed and returned in float32 or wider, also under autocast: a bfloat16 softmax over
    thousands of positions loses the small weights. The bias cancels in the softmax; it is kept
    because the published weights carry it.

    Source: Cao et al., GCNet (arXiv:1904.11492), Eq. 3.
    """
    # One product for both memory formats: reading x as (c, p) or as (p, c) costs no copy.
    logits = torch.bmm(weight.expand(x.shape[0], 1, -1), x).squeeze(1)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return (logits.to(dtype) + bias.to(dtype)).softmax(-1)


def attention_pool(
    x: Float[Tensor, "n c p"], weight: Float[Tensor, "1 c"], bias: Float[Tensor, "1"]
) -> Float[Tensor, "n c"]:
    """Context vector of attention pooling.

        context = sum_j a_j x_j,    a = softmax_j(w . x_j + b)

    Source: Cao et al., GCNet (arXiv:1904.11492), Eq. 3.
    Differs from the reference code: two matrix products on the feature map as it lies in memory,
    no copy of it.
    """
    weights = attention_weights(x, weight, bias).to(x.dtype)
    return torch.bmm(weights.unsqueeze(1), x.transpose(1, 2)).squeeze(1)
