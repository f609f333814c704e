"""Attention pooling: a softmax-weighted mean over positions with one query for all of them.

Computed by operators of torch: by matrix products on the CPU, by Triton on CUDA.
"""

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.library import custom_op
from torch.utils.flop_counter import register_flop_formula

from gcvideo.nn._attention_pool_formula import (
    accumulated,
    context_and_weights,
    gradients,
    is_wrapper,
)
from gcvideo.nn._function_transform import is_transformed

_PART = 1 << 19
"""Elements of a low-precision map that are widened at a time, so that they stay in the cache."""


def attention_pool(
    x: Float[Tensor, "n c p"], weight: Float[Tensor, "1 c"], bias: Float[Tensor, "1"]
) -> Float[Tensor, "n c"]:
    """Context vector of attention pooling.

        context = sum_j a_j x_j,    a = softmax_j(w . x_j + b)

    One operator, ``gcvideo::attention_pool``, works on the feature map as it lies in memory. Without
    gradients, fused attention with a single query reads a channels-last map on the CPU once; exported
    programs hold two matrix products. Sums are in float32 or wider, the result has the type of ``x``,
    also under autocast. The gradient of the bias is exactly zero.

    Source: Cao et al., GCNet (arXiv:1904.11492), Eq. 3.
    Differs from the reference code: no copy of the feature map, and the gradient in closed form; the
    backward pass only keeps ``x`` and one weight per position.
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
    """``x`` itself and its context vector, as `attention_pool` computes it.

        dx_i = dy_i + a_i g + s_i w,    s_i = a_i (g . x_i - g . context)

    Using the returned ``x`` saves memory traffic: the backward pass adds its gradient dy to that of the
    pooling, g, while it writes the latter.
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
        return _input_gradients(dy, g, *ctx.saved_tensors)


@custom_op(
    "gcvideo::attention_pool",
    mutates_args=(),
    schema="(Tensor x, Tensor weight, Tensor bias) -> (Tensor, Tensor)",
)
def pool(
    x: Float[Tensor, "n c p"], weight: Float[Tensor, "1 c"], bias: Float[Tensor, "1"]
) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n p"]]:
    """Context and weights of `attention_pool`, computed in float32 (in float64 for float64 input).

    The weights are constants to autograd: to differentiate them, use `attention_weights`.
    """
    kernel = _kernel(x)
    if kernel is not None:
        return kernel.pool(x, weight, bias)
    dtype = accumulated(x)
    if x.dtype == dtype:
        return context_and_weights(x, weight, bias)
    parts = [context_and_weights(part.to(dtype), weight, bias) for part in x.split(_num_clips(x))]
    return torch.cat([context for context, _ in parts]), torch.cat([a for _, a in parts])


@custom_op(
    "gcvideo::attention_pool_backward",
    mutates_args=(),
    schema="(Tensor? dy, Tensor g, Tensor x, Tensor weight, Tensor weights, Tensor context) "
    "-> (Tensor, Tensor)",
)
def pool_backward(
    dy: Float[Tensor, "n c p"] | None,
    g: Float[Tensor, "n c"],
    x: Float[Tensor, "n c p"],
    weight: Float[Tensor, "1 c"],
    weights: Float[Tensor, "n p"],
    context: Float[Tensor, "n c"],
) -> tuple[Float[Tensor, "n c p"], Float[Tensor, "1 c"]]:
    """Gradients of attention pooling for the input, in its memory layout, and for the mask.

        s_i = a_i (g . x_i - g . context),    dx_i = dy_i + a_i g + s_i w,    dw = sum_i s_i x_i

    with g the gradient of the context and dy that of other uses of x, or None.
    """
    kernel = _kernel(x)
    if kernel is not None:
        return kernel.pool_backward(dy, g, x, weight, weights, context)
    dx, dtype = torch.empty_like(x), accumulated(x)
    dw, mask = torch.zeros_like(weight, dtype=dtype), weight.to(dtype).unsqueeze(2)
    # An operator runs under its caller's autocast.
    with torch.autocast(x.device.type, enabled=False):
        for clips, positions in _parts(x):
            part = clips, slice(None), positions
            a, grad, rows = weights[clips, positions], g[clips].to(dtype), x[part].to(dtype)
            d = torch.bmm(grad.unsqueeze(1), rows).squeeze(1)
            s = a * (d - (grad * context[clips]).sum(1, keepdim=True))
            # Element-wise: a matrix product of rank two is slower and allocates its result.
            out = dx[part] if dx.dtype == dtype else None
            factors = a.unsqueeze(1), grad.unsqueeze(2)
            if dy is None:
                wide = torch.mul(*factors, out=out)
            else:
                wide = torch.addcmul(dy[part].to(dtype), *factors, out=out)
            wide.addcmul_(s.unsqueeze(1), mask)
            dw += torch.bmm(s.unsqueeze(1), rows.transpose(1, 2)).sum(0)
            if out is None:
                dx[part] = wide
    return dx, dw.to(weight.dtype)


def _kernel(x: Tensor) -> ModuleType | None:
    """The Triton kernels where they can run; float64, older GPUs and long vectors use products."""
    if not x.is_cuda or x.dtype == torch.float64 or find_spec("triton") is None:
        return None
    if torch.cuda.get_device_capability(x.device) < (8, 0):
        return None
    kernel = import_module("gcvideo.nn._attention_pool_kernel")
    return kernel if x.shape[1] <= kernel.MAX_CHANNELS else None


def _parts(x: Float[Tensor, "n c p"]) -> Iterator[tuple[slice, slice]]:
    """Clips and positions that a backward pass takes at a time."""
    if x.dtype == accumulated(x):
        yield slice(None), slice(None)
        return
    clips, positions = _num_clips(x), x.shape[2]
    if x.stride(1) == 1:  # otherwise part of the positions is scattered over the memory
        positions = min(positions, _PART // x.shape[1])
    for clip, first in product(
        range(0, x.shape[0], clips), range(0, x.shape[2], max(1, positions))
    ):
        yield slice(clip, clip + clips), slice(first, first + max(1, positions))


def _num_clips(x: Float[Tensor, "n c p"]) -> int:
    return max(1, _PART // (x.shape[1] * x.shape[2]))


@pool.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    dtype = accumulated(x)
    return x.new_empty(x.shape[:2], dtype=dtype), x.new_empty(x.shape[::2], dtype=dtype)


@pool_backward.register_fake
def _(
    dy: Tensor | None, g: Tensor, x: Tensor, weight: Tensor, weights: Tensor, context: Tensor
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(weight)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    x, weight, bias = inputs
    context, weights = output
    ctx.mark_non_differentiable(weights)
    ctx.save_for_backward(x, weight, bias, weights, context)


def _differentiate(ctx: Any, g: Tensor, _: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    return _input_gradients(None, g, *ctx.saved_tensors)


def _input_gradients(
    dy: Float[Tensor, "n c p"] | None,
    g: Float[Tensor, "n c"],
    x: Float[Tensor, "n c p"],
    weight: Float[Tensor, "1 c"],
    bias: Float[Tensor, "1"],
    weights: Float[Tensor, "n p"],
    context: Float[Tensor, "n c"],
) -> tuple[Float[Tensor, "n c p"], Float[Tensor, "1 c"], Float[Tensor, "1"]]:
    """Gradients of input, mask and bias in a backward pass: by the operator where it is enough.

    Where they are to be differentiated again or transformed, by plain operations.
    """
    if torch.is_grad_enabled() or is_transformed():
        dx, dw = gradients(dy, g, x, weight, bias)
    else:
        dx, dw = pool_backward(dy, g.to(context.dtype), x, weight, weights, context)
    # The softmax cancels the bias. Zero instead of None, because DDP takes None for an unused parameter.
    return dx, dw, torch.zeros_like(bias)


pool.register_autograd(_differentiate, setup_context=_keep)


@register_flop_formula(torch.ops.gcvideo.attention_pool)
def _flops(x: tuple[int, int, int], *_: Any, **__: Any) -> int:
    n, c, p = x
    return 2 * 2 * n * c * p


@register_flop_formula(torch.ops.gcvideo.attention_pool_backward)
def _backward_flops(_: Any, g: Any, x: tuple[int, int, int], *__: Any, **___: Any) -> int:
    n, c, p = x
    return 4 * 2 * n * c * p
