"""The non-local block in its four kinds, over space-time, space or time."""

from collections.abc import Callable
from typing import Literal, get_args

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from gcvideo.nn._choice import check_choice
from gcvideo.nn._grid import Axes, check_input, fold, unfold
from gcvideo.nn._max_pool import max_pool3d
from gcvideo.nn._pairwise import (
    aggregate_concatenation,
    aggregate_dot_product,
    aggregate_softmax,
    concatenation_map,
    dot_product_map,
    softmax_map,
)

Kind = Literal["gaussian", "embedded_gaussian", "dot_product", "concatenation"]
SubSample = Literal["none", "before", "after"]


class NonLocalBlock(nn.Module):
    """Non-local block: every position receives a weighted sum over all positions.

        z_i = x_i + BN(W_z y_i),    y_i = sum_j a_ij g(x_j)
        gaussian           a_ij = softmax_j(s x_i . x_j)
        embedded_gaussian  a_ij = softmax_j(s theta(x_i) . phi(x_j))
        dot_product        a_ij = theta(x_i) . phi(x_j) / N
        concatenation      a_ij = ReLU(w . [theta(x_i); phi(x_j)]) / N

    N is the number of keys, after pooling. A fresh block is the identity, bit for bit.

    Source: Wang et al., Non-local Neural Networks (arXiv:1711.07971); W_z = ``out``. The scale s,
    pooling before the convolutions, N(0, 0.01) weights and the zero gamma follow the authors' code.
    Differs from it: linear layers instead of 1x1x1 convolutions (same function), any grid rank,
    and no (p, k) map in memory: fused attention, theta (phi^T g), and prefix sums for
    "concatenation". Torch differentiates fused attention once: if the softmax kinds need second
    derivatives in reverse mode, call the block in ``sdpa_kernel(SDPBackend.MATH)``. The transforms of
    ``torch.func`` work without that.

    Args:
        in_channels: C of the feature map.
        kind: the pairwise function.
        axes: "thw" (spacetime in the paper), "hw" (space) or "t" (time); the last two need a
            (t, h, w) grid.
        inner_channels: channels of theta, phi and g; None for C / 2.
        sub_sample: 2x2 spatial max-pooling of the keys: "before" phi and g (authors' code,
            PySlowFast), "after" them (the paper, mmcv) or "none". Needs two spatial axes.
        scale: whether the softmax kinds divide by the square root of the query width; None for
            yes in "embedded_gaussian" and no in "gaussian", as all published code does.
        norm: BatchNorm with zero gamma behind W_z; without it W_z itself starts at zero.
        output_bias: whether W_z has a bias; mmcv's has none.

    Raises:
        ValueError: for an unknown word, no inner channel or pooling over ``axes="t"``; in
            ``forward`` for a wrong number of channels or grid axes.

    Example:
        >>> import torch
        >>> NonLocalBlock(16)(torch.zeros(2, 16, 4, 6, 6)).shape
        torch.Size([2, 16, 4, 6, 6])
    """

    def __init__(
        self,
        in_channels: int,
        *,
        kind: Kind = "embedded_gaussian",
        axes: Axes = "thw",
        inner_channels: int | None = None,
        sub_sample: SubSample = "before",
        scale: bool | None = None,
        norm: bool = True,
        output_bias: bool = True,
    ) -> None:
        super().__init__()
        check_choice("kind", kind, get_args(Kind))
        check_choice("axes", axes, get_args(Axes))
        check_choice("sub_sample", sub_sample, get_args(SubSample))
        if axes == "t" and sub_sample != "none":
            raise ValueError(
                f"sub_sample={sub_sample!r} pools height and width, which axes='t' does not "
                "attend over; pass sub_sample='none'"
            )
        inner = in_channels // 2 if inner_channels is None else inner_channels
        if inner < 1:
            raise ValueError(f"inner_channels must be at least 1, got {inner} of {in_channels}")
        self.in_channels = in_channels
        self.kind: Kind = kind
        self.axes: Axes = axes
        self.sub_sample: SubSample = sub_sample
        embedded = kind != "gaussian"
        scaled = kind == "embedded_gaussian" if scale is None else scale
        self.scale = (inner if embedded else in_channels) ** -0.5 if scaled else 1.0
        self.theta = nn.Linear(in_channels, inner) if embedded else nn.Identity()
        self.phi = nn.Linear(in_channels, inner) if embedded else nn.Identity()
        self.g = nn.Linear(in_channels, inner)
        self.concat = nn.Linear(2 * inner, 1, bias=False) if kind == "concatenation" else None
        self.out = nn.Linear(inner, in_channels, bias=output_bias)
        self.norm = nn.BatchNorm1d(in_channels) if norm else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """N(0, 0.01) weights, zero biases, and zero for whatever comes last."""
        for layer in self.children():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.01)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        if self.norm is None:
            nn.init.zeros_(self.out.weight)
        else:
            self.norm.reset_parameters()
            nn.init.zeros_(self.norm.weight)

    def attention(self, x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "n p k"]:
        """The map a_ij, computed on request; n is b, b * t for axes "hw", b * h * w for "t"."""
        theta, phi, _ = self._embed(x)
        return self._map(theta, phi)

    def attention_rows(
        self, x: Float[Tensor, "b c *grid"]
    ) -> Callable[[Int64[Tensor, " q"]], Float[Tensor, "n q k"]]:
        """A function that computes the rows of :meth:`attention` for some queries and no others.

        It takes positions p in the flattened axes, such as (t * H + h) * W + w for "thw", and raises
        ValueError for one outside of the map.
        """
        theta, phi, _ = self._embed(x)
        num_queries = theta.shape[1]

        def rows(queries: Int64[Tensor, " q"]) -> Float[Tensor, "n q k"]:
            if len(queries) and not 0 <= queries.min() <= queries.max() < num_queries:
                raise ValueError(
                    f"queries range from {queries.min()} to {queries.max()}, but the map has rows from 0 "
                    f"to {num_queries - 1}; give positions in the flattened grid"
                )
            return self._map(theta[:, queries], phi)

        return rows

    def forward(self, x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *grid"]:
        return x + self.update(x)

    def update(self, x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *grid"]:
        """What the block adds, BN(W_z y), before a sum with x would cost it digits."""
        update = self._aggregate(x)
        if self.norm is not None:
            # (n p, c): the statistics of a BatchNorm over (n, c, *grid), without a transposition.
            update = self.norm(update.flatten(0, 1)).view_as(update)
        return unfold(update.mT, x.shape[2:], self.axes).to(x.dtype)

    def extra_repr(self) -> str:
        return (
            f"kind={self.kind!r}, axes={self.axes!r}, sub_sample={self.sub_sample!r}, "
            f"scale={self.scale:.4g}"
        )

    def _embed(
        self, x: Float[Tensor, "b c *grid"]
    ) -> tuple[Float[Tensor, "n p d"], Float[Tensor, "n k d"], Float[Tensor, "n k e"]]:
        check_input(x, self.in_channels, self.axes)
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)  # one copy here or one in each projection
        keys = _max_pool(x, self.sub_sample) if self.sub_sample == "before" else x
        theta, phi, g = (
            layer(source.movedim(1, -1)).movedim(-1, 1)
            for layer, source in ((self.theta, x), (self.phi, keys), (self.g, keys))
        )
        if self.sub_sample == "after":
            phi, g = _max_pool(phi, self.sub_sample), _max_pool(g, self.sub_sample)
        return fold(theta, self.axes).mT, fold(phi, self.axes).mT, fold(g, self.axes).mT

    def _aggregate(self, x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "n p c"]:
        """W_z y. Its inputs leave the memory before the norm needs room."""
        theta, phi, g = self._embed(x)
        if self.kind == "dot_product":
            update = aggregate_dot_product(theta, phi, g, self.out.weight)
            return update if self.out.bias is None else update + self.out.bias.to(update.dtype)
        if self.concat is not None:
            return self.out(aggregate_concatenation(*self._scores(theta, phi, self.concat), g))
        return self.out(aggregate_softmax(theta, phi, g, self.scale))

    def _map(
        self, theta: Float[Tensor, "n q d"], phi: Float[Tensor, "n k d"]
    ) -> Float[Tensor, "n q k"]:
        if self.concat is not None:
            return concatenation_map(*self._scores(theta, phi, self.concat))
        if self.kind == "dot_product":
            return dot_product_map(theta, phi)
        return softmax_map(theta, phi, self.scale)

    @staticmethod
    def _scores(
        theta: Float[Tensor, "n p d"], phi: Float[Tensor, "n k d"], concat: nn.Linear
    ) -> tuple[Float[Tensor, "n p"], Float[Tensor, "n k"]]:
        theta_weight, phi_weight = concat.weight[0].chunk(2)
        return theta @ theta_weight, phi @ phi_weight


def _max_pool(x: Float[Tensor, "b c *grid"], sub_sample: str) -> Float[Tensor, "b c ..."]:
    if x.ndim not in (4, 5) or min(x.shape[-2:]) < 2:
        raise ValueError(
            f"sub_sample={sub_sample!r} max-pools height and width by 2, "
            f"got a grid of {tuple(x.shape[2:])}; pass sub_sample='none'"
        )
    return F.max_pool2d(x, 2) if x.ndim == 4 else max_pool3d(x, (1, 2, 2))
