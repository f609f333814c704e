"""Attention pooling: a softmax-weighted mean over positions with one query for all of them."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function

from gcvideo.nn._attention_pool_formula import context_and_weights, is_wrapper
from gcvideo.nn._attention_pool_operator import differentiate, pool
from gcvideo.nn._function_transform import is_transformed


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
    if _needs_plain_operations(weight):
        return context_and_weights(x, weight, bias)[0].to(x.dtype)
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
    if _needs_plain_operations(weight) or not torch.is_grad_enabled():
        return x, attention_pool(x, weight, bias)
    return _PoolAndInput.apply(x, weight, bias)


def _needs_plain_operations(weight: Tensor) -> bool:
    return torch.compiler.is_exporting() or is_transformed() or is_wrapper(weight)


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
        return differentiate(dy, g, *ctx.saved_tensors)
