"""Attention pooling: a softmax-weighted mean over positions with one query for all of them."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function

from gcvideo.nn.attention_pool_operator import pool, pool_backward


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

    One operator, ``gcvideo::attention_pool``, on the feature map as it lies in memory. Without
    gradients, fused attention with a single query reads a channels-last map on the CPU once; exported
    programs hold two matrix products. Sums in float32 or wider, result in the type of ``x``, also under
    autocast. The gradient of the bias is exactly zero.

    Source: Cao et al., GCNet (arXiv:1904.11492), Eq. 3.
    Differs from the reference code: no copy of the feature map, the gradient in closed form, in
    the backward pass only ``x`` and one weight per position are kept.
    """
    if torch.compiler.is_exporting():
        weights = attention_weights(x, weight, bias).to(x.dtype)
        return torch.bmm(weights.unsqueeze(1), x.transpose(1, 2)).squeeze(1)
    if _suits_fused_attention(x):
        rows = x.transpose(1, 2).unsqueeze(1)
        query = weight.expand(x.shape[0], -1)[:, None, None]
        return F.scaled_dot_product_attention(query, rows, rows, scale=1.0)[:, 0, 0]
    context, _ = pool(x, weight, bias)
    return context.to(x.dtype)


def attention_pool_and_input(
    x: Float[Tensor, "n c p"], weight: Float[Tensor, "1 c"], bias: Float[Tensor, "1"]
) -> tuple[Float[Tensor, "n c p"], Float[Tensor, "n c"]]:
    """``x`` itself and its context vector, as `attention_pool` gives it.

        dx_i = dy_i + a_i g + s_i w,    s_i = a_i (g . x_i - g . context)

    Whoever goes on with the ``x`` that comes back saves memory traffic: the backward pass adds its
    gradient dy to that of the pooling, g, while it writes the latter.
    """
    if torch.compiler.is_exporting() or not torch.is_grad_enabled():
        return x, attention_pool(x, weight, bias)
    return _PoolAndInput.apply(x, weight, bias)


def _suits_fused_attention(x: Tensor) -> bool:
    return (
        not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and x.stride(1) == 1
        and x.shape[1] > 1
    )


class _PoolAndInput(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        context, weights = pool(x, weight, bias)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, weight, bias, weights, context)
        return x.view_as(x), context.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        dy, g = gradients
        if g is None:
            return dy, None, None
        x, weight, bias, weights, context = ctx.saved_tensors
        dx, dw = pool_backward(dy, g.to(context.dtype), x, weight, weights, context)
        return dx, dw, torch.zeros_like(bias)
