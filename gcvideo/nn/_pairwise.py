"""The pairwise functions of non-local blocks: their maps, and aggregation without the maps.

Shapes: n batch, p queries, k keys. Each ``aggregate_*`` equals ``*_map @ value`` but never builds
the (p, k) map where a cheaper form exists.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from gcvideo.nn._function_transform import is_transformed
from gcvideo.nn._softmax_products import aggregate_by_products, suits_products


def softmax_map(
    query: Float[Tensor, "n p d"], key: Float[Tensor, "n k d"], scale: float
) -> Float[Tensor, "n p k"]:
    """Gaussian map, a_ij = softmax_j(scale q_i . k_j), in float32 or wider."""
    scores = query @ key.mT
    return (scores.to(torch.promote_types(scores.dtype, torch.float32)) * scale).softmax(-1)


def aggregate_softmax(
    query: Float[Tensor, "n p d"],
    key: Float[Tensor, "n k d"],
    value: Float[Tensor, "n k e"],
    scale: float,
) -> Float[Tensor, "n p e"]:
    """Gaussian aggregation, y_i = sum_j softmax_j(scale q_i . k_j) v_j, by fused attention.

    In bfloat16, some CPUs are faster with products, see :mod:`gcvideo.nn._softmax_products`.
    """
    if is_transformed():
        return softmax_map(query, key, scale).to(value.dtype) @ value
    backends = _attention_backends()
    if SDPBackend.FLASH_ATTENTION in backends and suits_products(query, key, value):
        return aggregate_by_products(query, key, value, scale)
    width = value.shape[-1]
    if backends != [SDPBackend.MATH]:
        # The fused kernels need one width; zeros change neither the scores nor the columns that are kept.
        most = max(query.shape[-1], width)
        query, key, value = (_widen(rows, most) for rows in (query, key, value))
    num_chunks = _num_chunks(query)
    chunks = query.unflatten(1, (num_chunks, -1))
    keys, values = (rows.unsqueeze(1).expand(-1, num_chunks, -1, -1) for rows in (key, value))
    with sdpa_kernel(backends):
        y = F.scaled_dot_product_attention(chunks, keys, values, scale=scale)
    return y.flatten(1, 2)[..., :width]


def dot_product_map(
    query: Float[Tensor, "n p d"], key: Float[Tensor, "n k d"]
) -> Float[Tensor, "n p k"]:
    """Dot product map, a_ij = q_i . k_j / k."""
    # Dividing first keeps float16 sums over thousands of keys in range.
    return query @ (key / key.shape[1]).mT


def aggregate_dot_product(
    query: Float[Tensor, "n p d"],
    key: Float[Tensor, "n k d"],
    value: Float[Tensor, "n k e"],
    weight: Float[Tensor, "c e"],
) -> Float[Tensor, "n p c"]:
    """Dot product aggregation with a linear map behind it, W y with y_i = sum_j (q_i . k_j) v_j / k.

    Multiplied as q ((k^T v) W^T) / k, or as ((q k^T) v) W^T / k where that is cheaper.
    """
    (p, d), (k, e) = query.shape[1:], value.shape[1:]
    if p * k * (d + e) < (p + k) * d * e:
        return dot_product_map(query, key) @ value @ weight.mT
    return query @ ((key / k).mT @ value @ weight.mT)


def concatenation_map(u: Float[Tensor, "n p"], v: Float[Tensor, "n k"]) -> Float[Tensor, "n p k"]:
    """Concatenation map, a_ij = ReLU(u_i + v_j) / k, with u and v the halves of w . [q_i; k_j]."""
    return (u.unsqueeze(2) + v.unsqueeze(1)).relu() / v.shape[1]


def aggregate_concatenation(
    u: Float[Tensor, "n p"], v: Float[Tensor, "n k"], value: Float[Tensor, "n k e"]
) -> Float[Tensor, "n p e"]:
    """Concatenation aggregation, y_i = sum_j ReLU(u_i + v_j) g_j / k, in O((p + k) log k).

    Query i sees the m_i keys with v_j > -u_i. With the keys sorted by falling v these are the first
    m_i, and y_i = (u_i sum_{j <= m_i} g_j + sum_{j <= m_i} v_j g_j) / k comes from prefix sums.
    """
    dtype = torch.promote_types(value.dtype, torch.float32)  # prefix sums need the digits
    u, threshold = u.to(dtype), -v.to(dtype)
    threshold, order = threshold.sort(dim=1)
    g = value.to(dtype).gather(1, order.unsqueeze(2).expand_as(value))
    terms = torch.cat([g, -threshold.unsqueeze(2) * g], dim=2)
    prefix = F.pad(terms.cumsum(1), (0, 0, 1, 0))  # (n, k + 1, 2e): row m sums the first m keys
    seen = torch.searchsorted(threshold.detach(), u.detach().contiguous())
    rows = prefix.gather(1, seen.unsqueeze(2).expand(-1, -1, prefix.shape[2]))
    sum_g, sum_vg = rows.chunk(2, dim=2)
    return ((u.unsqueeze(2) * sum_g + sum_vg) / v.shape[1]).to(value.dtype)


@torch.compiler.assume_constant_result
def _attention_backends() -> list[SDPBackend]:
    """The back ends that fused attention may use, for ``torch.nn.attention.sdpa_kernel``.

    Torch tries flash attention first, which takes all widths on CPUs and widths up to 256 in 16 bits on
    CUDA (non-local blocks in res3); then memory-efficient attention, which takes the others on CUDA (512
    in res4, and float32); last the plain form, which builds the map of all pairs, for what neither
    takes, such as float64 on CUDA.
    Differs from torch's own choice: no cuDNN, which comes first on some GPUs and whose largest width
    depends on its version. What a surrounding ``sdpa_kernel`` switches off stays off.
    """
    switches = {
        SDPBackend.FLASH_ATTENTION: torch.backends.cuda.flash_sdp_enabled(),
        SDPBackend.EFFICIENT_ATTENTION: torch.backends.cuda.mem_efficient_sdp_enabled(),
        SDPBackend.MATH: torch.backends.cuda.math_sdp_enabled(),
    }
    return [backend for backend, is_on in switches.items() if is_on]


def _num_chunks(query: Float[Tensor, "n p d"]) -> int:
    """The number of parts into which the queries are split, as if they were heads.

    On CPUs the backward pass of flash attention has one thread per head, and the block has one head.
    Each part costs gradients of all keys, so there are few, whatever the number of threads.
    """
    num_queries = query.shape[1]
    has_many = query.device.type == "cpu" and num_queries >= 1024
    return math.gcd(num_queries, 4) if has_many else 1


def _widen(rows: Float[Tensor, "n k d"], width: int) -> Float[Tensor, "n k e"]:
    missing = width - rows.shape[-1]
    return F.pad(rows, (0, missing)) if missing else rows
