"""Gaussian aggregation by matrix products in bfloat16, part of the queries at a time."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from gcvideo.nn._attention_pool_formula import accumulated
from gcvideo.nn._bfloat16 import has_bfloat16_products

# Queries whose rows of the map are in memory together: fewer make the products slower.
_NUM_ROWS = 512
# Absolute score beyond which rounding to eight bits would move a weight by more than 1.6 %.
_LARGEST_SCORE = 8.0


def suits_products(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether products are faster than torch's flash attention.

    On CPUs that know bfloat16 but not AMX, flash attention multiplies in it no faster than in float32.
    """
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", bool)
    return (
        query.device.type == "cpu"
        and query.dtype == key.dtype == value.dtype == torch.bfloat16
        and not torch.compiler.is_compiling()
        and has_bfloat16_products()
        and not has_amx()
    )


def aggregate_by_products(
    query: Float[Tensor, "n p d"],
    key: Float[Tensor, "n k d"],
    value: Float[Tensor, "n k e"],
    scale: float,
) -> Float[Tensor, "n p e"]:
    """Gaussian aggregation, y_i = sum_j softmax_j(scale q_i . k_j) v_j.

        P_ij = softmax_j(q_i . c_j),    c_j = scale (k_j - mean_j k_j)
        dV = P^T dY,    dS = P (dP - sum_j P dP),  dP = dY V^T,    dQ = dS C,    dK = scale dS^T Q

    The mean of the keys changes no softmax. Without it, scores are small where attention is nearly
    uniform, and lose less to rounding; rows with large ones have them in float32. The backward pass
    computes the rows of the map again.
    """
    return _Aggregation.apply(query, key, value, scale)


class _Aggregation(Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        keys = key.to(accumulated(key))
        centred = (keys - keys.mean(1, keepdim=True)) * scale
        ctx.save_for_backward(query, centred, value)
        ctx.scale = scale
        rounded = centred.to(key.dtype)
        y = query.new_empty(*query.shape[:2], value.shape[2])
        for rows in _parts(query):
            y[:, rows] = torch.bmm(_map(query[:, rows], centred, rounded), value)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, centred, value = ctx.saved_tensors
        (dy,) = gradients
        rounded = centred.to(query.dtype)
        dq = torch.empty_like(query)
        # Sums over parts need more digits than the parts.
        dk, dv = (torch.zeros_like(rows, dtype=centred.dtype) for rows in (centred, value))
        for rows in _parts(query):
            q, g = query[:, rows], dy[:, rows]
            weights = _map(q, centred, rounded)
            dv += torch.bmm(weights.mT, g)
            ds = torch.ops.aten._softmax_backward_data(
                torch.bmm(g, value.mT), weights, -1, weights.dtype
            )
            dq[:, rows] = torch.bmm(ds, rounded)
            dk += torch.bmm(ds.mT, q)
        return dq, (dk * ctx.scale).to(query.dtype), dv.to(value.dtype), None


def _parts(query: Float[Tensor, "n p d"]) -> list[slice]:
    return [slice(first, first + _NUM_ROWS) for first in range(0, query.shape[1], _NUM_ROWS)]


def _map(
    query: Float[Tensor, "n q d"],
    centred: Float[Tensor, "n k d"],
    rounded: Float[Tensor, "n k d"],
) -> Float[Tensor, "n q k"]:
    scores = torch.bmm(query, rounded.mT)
    if scores.dtype != centred.dtype and max(map(abs, torch.aminmax(scores))) > _LARGEST_SCORE:
        with torch.autocast(query.device.type, enabled=False):
            scores = torch.bmm(query.to(centred.dtype), centred.mT)
    return scores.softmax(-1).to(query.dtype)
