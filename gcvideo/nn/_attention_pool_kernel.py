# ruff: noqa: ANN001, ANN202, PLR0913 (Triton gives the arguments of kernels their types)
"""Attention pooling on CUDA: Triton kernels that read the feature map once, in either memory layout.

The positions of a clip are split into chunks, one program each, as flash decoding splits keys
(Dao et al., 2023); a second kernel combines the results of the chunks. Nothing depends on the order in
which programs end, so results are the same bit for bit on one model of GPU.

Registers: a program holds a tile of x in float32, all channels by ``block_p`` positions, because each
channel is needed twice, for the logit and for the sum. With 8 warps the 16384 elements of a forward
tile are 64 registers a thread and the kernel has at most 128 in channels-last, so that two programs
share a multiprocessor of 65536. In the backward pass, dy and dx come on top, so the tile is half as large.
"""

from functools import lru_cache
from typing import Any, NamedTuple, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

MAX_CHANNELS = 4096
_FORWARD_TILE = 16384
_BACKWARD_TILE = 8192
_NUM_WARPS = 8
_COLUMNS = 128
_MAX_CHUNKS = 128
_PROGRAMS_PER_PROCESSOR = 4
_LOWEST = tl.constexpr(-3.4028234663852886e38)


class _Split(NamedTuple):
    """How a map is cut up: sizes of a tile, positions per chunk, chunks per clip."""

    block_c: int
    block_p: int
    chunk: int
    num_chunks: int


def pool(
    x: Float[Tensor, "n c p"], weight: Float[Tensor, "1 c"], bias: Float[Tensor, "1"]
) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n p"]]:
    """Context and weights in float32, as the operator ``gcvideo::attention_pool`` gives them."""
    n, c, p = x.shape
    split = _split(x, _FORWARD_TILE)
    maxima, masses, logits = (
        x.new_empty(n, size, dtype=torch.float32)
        for size in (split.num_chunks, split.num_chunks, p)
    )
    partial = x.new_empty(n, split.num_chunks, c, dtype=torch.float32)
    context, weights = x.new_empty(n, c, dtype=torch.float32), torch.empty_like(logits)
    _launch(
        _chunk_kernel,
        (n, split.num_chunks),
        *(x, weight.contiguous(), bias, logits, maxima, masses, partial),
        *(c, p, split.chunk, *x.stride()),
        block_c=split.block_c,
        block_p=split.block_p,
    )
    _launch(
        _combination_kernel,
        (n, triton.cdiv(max(c, p), _COLUMNS)),
        *(maxima, masses, partial, logits, context, weights),
        *(c, p, split.num_chunks),
        rows=triton.next_power_of_2(split.num_chunks),
        columns=_COLUMNS,
    )
    return context, weights


def pool_backward(
    dy: Float[Tensor, "n c p"] | None,
    g: Float[Tensor, "n c"],
    x: Float[Tensor, "n c p"],
    weight: Float[Tensor, "1 c"],
    weights: Float[Tensor, "n p"],
    context: Float[Tensor, "n c"],
) -> tuple[Float[Tensor, "n c p"], Float[Tensor, "1 c"]]:
    """Gradients of x and of the mask, as ``gcvideo::attention_pool_backward`` gives them."""
    n, c, p = x.shape
    split = _split(x, _BACKWARD_TILE)
    dx = torch.empty_like(x)
    partial = x.new_empty(n * split.num_chunks, c, dtype=torch.float32)
    other = x if dy is None else dy
    _launch(
        _gradient_kernel,
        (n, split.num_chunks),
        *(other, g.contiguous(), x, weight.contiguous(), weights, context, dx, partial),
        *(c, p, split.chunk, *x.stride(), *dx.stride(), *other.stride()),
        has_dy=dy is not None,
        block_c=split.block_c,
        block_p=split.block_p,
    )
    return dx, partial.sum(0, keepdim=True).to(weight.dtype)


def _launch(kernel: Any, grid: tuple[int, int], *arguments: Any, **constants: Any) -> None:
    with torch.cuda.device_of(arguments[0]):
        kernel[grid](*arguments, **constants, num_warps=_NUM_WARPS, enable_fp_fusion=True)


def _split(x: Tensor, tile: int) -> _Split:
    n, c, p = x.shape
    block_c = max(16, triton.next_power_of_2(c))
    block_p = min(max(1, tile // block_c), triton.next_power_of_2(p), 64)
    num_blocks = triton.cdiv(p, block_p)
    wanted = triton.cdiv(_PROGRAMS_PER_PROCESSOR * _num_processors(x.device), n)
    blocks = triton.cdiv(num_blocks, min(wanted, num_blocks, _MAX_CHUNKS))
    # Rounding up may leave fewer chunks than wanted, but none without a position.
    return _Split(block_c, block_p, blocks * block_p, triton.cdiv(num_blocks, blocks))


@lru_cache
def _num_processors(device: torch.device) -> int:
    is_gpu = device.type == "cuda"
    return torch.cuda.get_device_properties(device).multi_processor_count if is_gpu else 1


# Checked annotations would change the source that Triton compiles.
@triton.jit
@no_type_check
def _chunk_kernel(
    x,
    weight,
    bias,
    logits,
    maxima,
    masses,
    partial,
    c,
    p,
    chunk,
    stride_n,
    stride_c,
    stride_p,
    block_c: tl.constexpr,
    block_p: tl.constexpr,
):
    """Maximum, sum of exponentials and weighted sum of one chunk of one clip; its logits."""
    n, k = tl.program_id(0).to(tl.int64), tl.program_id(1)
    channels = tl.arange(0, block_c)
    w = tl.load(weight + channels, mask=channels < c, other=0.0).to(tl.float32)
    b = tl.load(bias).to(tl.float32)
    largest = tl.full((), _LOWEST, tl.float32)
    mass = tl.full((), 0.0, tl.float32)
    total = tl.zeros((block_c,), tl.float32)
    # A chunk is a multiple of block_p, so that a tile crosses no end but that of the clip.
    end = tl.minimum((k + 1) * chunk, p)
    for start in range(k * chunk, end, block_p):
        positions = start + tl.arange(0, block_p)
        valid = positions < p
        inside = valid[:, None] & (channels < c)[None, :]
        where = (
            n * stride_n + positions.to(tl.int64)[:, None] * stride_p + channels[None, :] * stride_c
        )
        tile = tl.load(x + where, mask=inside, other=0.0).to(tl.float32)
        logit = tl.sum(tile * w[None, :], 1) + b
        tl.store(logits + n * p + positions, logit, mask=valid)
        # The lowest finite number: its weight is zero, and two infinities are never subtracted.
        logit = tl.where(valid, logit, _LOWEST)
        new = tl.maximum(largest, tl.max(logit, 0))
        shrink = tl.exp(largest - new)
        e = tl.exp(logit - new)
        mass = mass * shrink + tl.sum(e, 0)
        total = total * shrink + tl.sum(e[:, None] * tile, 0)
        largest = new
    row = n * tl.num_programs(1) + k
    tl.store(maxima + row, largest)
    tl.store(masses + row, mass)
    tl.store(partial + row * c + channels, total, mask=channels < c)


@triton.jit
@no_type_check
def _combination_kernel(
    maxima,
    masses,
    partial,
    logits,
    context,
    weights,
    c,
    p,
    num_chunks,
    rows: tl.constexpr,
    columns: tl.constexpr,
):
    """Some channels of the context and some of the weights of one clip, from all its chunks."""
    n = tl.program_id(0).to(tl.int64)
    chunks = tl.arange(0, rows)
    here = n * num_chunks + chunks
    maximum = tl.load(maxima + here, mask=chunks < num_chunks, other=_LOWEST)
    largest = tl.max(maximum, 0)
    share = tl.exp(maximum - largest)
    mass = tl.sum(share * tl.load(masses + here, mask=chunks < num_chunks, other=0.0), 0)
    column = tl.program_id(1) * columns + tl.arange(0, columns)
    inside = (chunks < num_chunks)[:, None] & (column < c)[None, :]
    sums = tl.load(partial + here[:, None] * c + column[None, :], mask=inside, other=0.0)
    tl.store(context + n * c + column, tl.sum(share[:, None] * sums, 0) / mass, mask=column < c)
    logit = tl.load(logits + n * p + column, mask=column < p, other=_LOWEST)
    tl.store(weights + n * p + column, tl.exp(logit - largest) / mass, mask=column < p)


@triton.jit
@no_type_check
def _gradient_kernel(
    dy,
    g,
    x,
    weight,
    weights,
    context,
    dx,
    partial,
    c,
    p,
    chunk,
    x_n,
    x_c,
    x_p,
    dx_n,
    dx_c,
    dx_p,
    dy_n,
    dy_c,
    dy_p,
    has_dy: tl.constexpr,
    block_c: tl.constexpr,
    block_p: tl.constexpr,
):
    """The gradient of x in one chunk of one clip, and its share of the gradient of the mask."""
    n, k = tl.program_id(0).to(tl.int64), tl.program_id(1)
    channels = tl.arange(0, block_c)
    real = channels < c
    w = tl.load(weight + channels, mask=real, other=0.0).to(tl.float32)
    gradient = tl.load(g + n * c + channels, mask=real, other=0.0).to(tl.float32)
    mean = tl.sum(gradient * tl.load(context + n * c + channels, mask=real, other=0.0), 0)
    total = tl.zeros((block_c,), tl.float32)
    end = tl.minimum((k + 1) * chunk, p)
    for start in range(k * chunk, end, block_p):
        positions = start + tl.arange(0, block_p)
        valid = positions < p
        inside = valid[:, None] & real[None, :]
        row, column = positions.to(tl.int64)[:, None], channels[None, :]
        tile = tl.load(x + n * x_n + row * x_p + column * x_c, mask=inside, other=0.0).to(
            tl.float32
        )
        a = tl.load(weights + n * p + positions, mask=valid, other=0.0)
        s = a * (tl.sum(tile * gradient[None, :], 1) - mean)
        total += tl.sum(s[:, None] * tile, 0)
        out = a[:, None] * gradient[None, :] + s[:, None] * w[None, :]
        if has_dy:
            given = tl.load(dy + n * dy_n + row * dy_p + column * dy_c, mask=inside, other=0.0)
            out += given.to(tl.float32)
        tl.store(dx + n * dx_n + row * dx_p + column * dx_c, out, mask=inside)
    tl.store(partial + (n * tl.num_programs(1) + k) * c + channels, total, mask=real)
