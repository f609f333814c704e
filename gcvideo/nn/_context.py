"""The global context framework, its transforms, and the published blocks that are settings of it."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gcvideo.nn._attention_pool import attention_pool, attention_pool_and_input
from gcvideo.nn._attention_pool_formula import attention_weights, context_of_grid, is_wrapper
from gcvideo.nn._choice import check_choice
from gcvideo.nn._grid import Axes, check_input, fold, pooled_dims, unfold

Pooling = Literal["att", "avg"]
Fusion = Literal["add", "mul"]
MulStart = Literal["half", "identity"]


def bottleneck_width(in_channels: int, ratio: float, *, norm: bool = False) -> int:
    """Channels inside a bottleneck, the integer part of ``in_channels * ratio``."""
    # 49 * (1 / 49) is just below 1 in floating point, but its integer part must not be 0.
    planes = int(in_channels * ratio + 1e-6)
    needed = 2 if norm else 1
    if planes < needed:
        constant = ", whose LayerNorm is a constant whatever the input" * planes
        raise ValueError(
            f"ratio {ratio:.4g} of {in_channels} channels leaves {planes or 'no'} channel in the "
            f"bottleneck{constant}; the smallest ratio that leaves {'two' if norm else 'one'} is "
            f"{needed}/{in_channels} = {needed / in_channels:.4g}"
            f"{'; norm=False needs one' if norm else ''}"
        )
    return planes


class Transform(nn.Module):
    """Bottleneck or single linear layer on context vectors, zero at the start.

        t = W_v2 ReLU(LN(W_v1 c))    or, with ratio None,    t = W_v c

    The last layer starts at zero (weight and bias), as in the authors' code.

    Source: Cao et al., GCNet (arXiv:1904.11492), Eq. 5 and Eq. 3; W_v1 = ``reduce``,
    W_v2 = W_v = ``expand``.
    Differs from the reference code: linear layers on vectors instead of 1x1 convolutions (same
    function).
    """

    def __init__(
        self,
        in_channels: int,
        *,
        ratio: float | None = 1 / 4,
        norm: bool = True,
        activation: bool = True,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if not eps > 0:
            raise ValueError(f"eps is {eps}; it must be positive, as 1e-5 in the published code")
        planes = in_channels if ratio is None else bottleneck_width(in_channels, ratio, norm=norm)
        linear = ratio is None
        self.reduce = nn.Identity() if linear else nn.Linear(in_channels, planes)
        self.norm = nn.LayerNorm(planes, eps=eps) if norm and not linear else nn.Identity()
        self.activation = nn.ReLU() if activation and not linear else nn.Identity()
        self.expand = nn.Linear(planes, in_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Default initialisation, and zero for the last layer."""
        if isinstance(self.reduce, nn.Linear):
            self.reduce.reset_parameters()
        if isinstance(self.norm, nn.LayerNorm):
            self.norm.reset_parameters()
        nn.init.zeros_(self.expand.weight)
        nn.init.zeros_(self.expand.bias)

    def forward(self, context: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        return self.expand(self.activation(self.norm(self.reduce(context))))


class ContextBlock(nn.Module):
    """Context block: pool a context vector, transform it, fuse it into every position.

        z_i = x_i * s sigmoid(T_mul(c)) + T_add(c),    c = sum_j a_j x_j

    with a = softmax_j(W_k x_j) or uniform. The grid is flattened, so one class serves sequences,
    images and clips. Every transform starts at zero: with ``fusion=("add",)`` a net with fresh
    blocks equals the net without, bit for bit. ``"mul"`` as published (s = 1) starts at
    x * sigmoid(0) = x / 2, which halves the signal at every block; ``mul_start="identity"``
    (s = 2) starts at x instead.

    Source: Cao et al., GCNet (arXiv:1904.11492), Eq. 4; W_k = ``mask``. Initialisation and the
    multiplicative fusion follow the authors' code.
    Differs from the reference code: linear layers on pooled vectors instead of 1x1 convolutions
    (same function), any grid rank, ``axes``, the identity start of ``"mul"``.

    Args:
        in_channels: C of the feature map.
        pooling: "att" (softmax over positions) or "avg".
        axes: what is pooled together: "thw" all positions, "hw" each frame by itself, "t" each
            position over time. The last two need a (t, h, w) grid.
        ratio: bottleneck width / ``in_channels``; None for a single linear layer.
        norm: whether there is a LayerNorm in the bottleneck.
        activation: whether there is a ReLU in the bottleneck.
        fusion: "add", "mul" or both; multiplication precedes addition, and each has its own transform.
        mul_start: start of "mul": "half" (as published) or "identity".
        eps: added to the variance in the LayerNorm: 1e-5 in the code of GCNet and mmcv, 1e-6 in
            timm's.

    Raises:
        ValueError: for an unknown word, an empty or repeating ``fusion``, a ``ratio`` that leaves
            no channel, or one that a LayerNorm would make a constant, an ``eps`` not above 0;
            in ``forward`` for a wrong number of channels or grid axes.

    Example:
        >>> import torch
        >>> ContextBlock(64, ratio=1 / 4)(torch.zeros(2, 64, 4, 7, 7)).shape
        torch.Size([2, 64, 4, 7, 7])
        >>> sum(p.numel() for p in global_context(512).parameters())
        132481
    """

    def __init__(  # noqa: PLR0913 (the settings of a block)
        self,
        in_channels: int,
        *,
        pooling: Pooling = "att",
        axes: Axes = "thw",
        ratio: float | None = 1 / 4,
        norm: bool = True,
        activation: bool = True,
        fusion: Sequence[Fusion] = ("add",),
        mul_start: MulStart = "half",
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        check_choice("pooling", pooling, get_args(Pooling))
        check_choice("axes", axes, get_args(Axes))
        check_choice("mul_start", mul_start, get_args(MulStart))
        names = list(fusion)
        if not names or len(set(names)) < len(names) or not set(names) <= set(get_args(Fusion)):
            raise ValueError(
                "fusion must list 'add', 'mul' or both, each once, "
                f"got {fusion!r}; the published block is ('add',)"
            )
        self.in_channels = in_channels
        self.axes: Axes = axes
        self.mul_scale = 2.0 if mul_start == "identity" else 1.0

        def transform() -> Transform:
            return Transform(in_channels, ratio=ratio, norm=norm, activation=activation, eps=eps)

        self.mask = nn.Linear(in_channels, 1) if pooling == "att" else None
        self.mul_transform = transform() if "mul" in fusion else None
        self.add_transform = transform() if "add" in fusion else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise as the authors' code does: mask Kaiming fan-in, transforms zero."""
        if self.mask is not None:
            nn.init.kaiming_normal_(self.mask.weight, mode="fan_in", nonlinearity="relu")
            nn.init.zeros_(self.mask.bias)
        for transform in (self.mul_transform, self.add_transform):
            if transform is not None:
                transform.reset_parameters()

    def attention(self, x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b *grid"]:
        """Pooling weights, which sum to one over the pooled axes; uniform for "avg"."""
        check_input(x, self.in_channels, self.axes)
        folded = fold(x, self.axes)
        if self.mask is None:
            weights = folded.new_full((folded.shape[0], folded.shape[2]), 1 / folded.shape[2])
        else:
            weights = attention_weights(folded, self.mask.weight, self.mask.bias)
        return unfold(weights.unsqueeze(1), x.shape[2:], self.axes).squeeze(1)

    def pool(self, x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *kept"]:
        """Context: (b, c) for axes "thw", (b, c, t) for "hw", (b, c, h, w) for "t"."""
        check_input(x, self.in_channels, self.axes)
        return pool_context(x, self.mask, self.axes)

    def forward(self, x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *grid"]:
        z, context = self._input_and_context(x)
        if self.mul_transform is not None:
            update = along_grid(self.mul_transform, context, x.ndim, self.axes)
            z = z * (self.mul_scale * update.sigmoid()).to(x.dtype)
        if self.add_transform is not None:
            z = z + along_grid(self.add_transform, context, x.ndim, self.axes).to(x.dtype)
        return z

    def _input_and_context(
        self, x: Float[Tensor, "b c *grid"]
    ) -> tuple[Float[Tensor, "b c *grid"], Float[Tensor, "b c *kept"]]:
        # With other axes the folded input may be a copy, which must not be passed on.
        if self.mask is None or self.axes != "thw" or torch.compiler.is_exporting():
            return x, self.pool(x)
        check_input(x, self.in_channels, self.axes)
        same, context = attention_pool_and_input(x.flatten(2), self.mask.weight, self.mask.bias)
        return same.unflatten(2, x.shape[2:]), context

    def extra_repr(self) -> str:
        pooling = "avg" if self.mask is None else "att"
        return f"in_channels={self.in_channels}, pooling={pooling!r}, axes={self.axes!r}"


def pool_context(
    x: Float[Tensor, "b c *grid"], mask: nn.Linear | None, axes: Axes
) -> Float[Tensor, "b c *kept"]:
    """Means over the pooled axes, weighted by the attention of ``mask``; without one, all alike."""
    pooled = pooled_dims(x.ndim, axes)
    if mask is None:
        return x.mean(pooled)
    if torch.compiler.is_exporting() and x.ndim == 5 and not is_wrapper(mask.weight):
        return context_of_grid(x, mask.weight, mask.bias, pooled).to(x.dtype)
    context = attention_pool(fold(x, axes), mask.weight, mask.bias)
    kept = [size for dim, size in enumerate(x.shape) if dim > 1 and dim not in pooled]
    return context.unflatten(0, (x.shape[0], *kept)).movedim(-1, 1)


def along_grid(
    transform: nn.Module, context: Float[Tensor, "b c *kept"], ndim: int, axes: Axes
) -> Float[Tensor, "b d ..."]:
    """The transformed context, with axes of size one where the grid was pooled."""
    update = transform(context.movedim(1, -1)).movedim(-1, 1)
    for dim in pooled_dims(ndim, axes):
        update = update.unsqueeze(dim)
    return update


global_context = ContextBlock
"""Global context (GC) block: what the defaults of `ContextBlock` are, Eq. 5 of GCNet (arXiv:1904.11492).

    z_i = x_i + W_v2 ReLU(LN(W_v1 sum_j a_j x_j)),    a = softmax_j(W_k x_j)
"""


def simplified_non_local(in_channels: int, *, axes: Axes = "thw") -> ContextBlock:
    """Simplified non-local (SNL) block: attention pooling, one linear layer, addition.

        z_i = x_i + W_v sum_j a_j x_j,    a = softmax_j(W_k x_j)

    Source: Cao et al., GCNet (arXiv:1904.11492), Eq. 3. The authors published no code for it;
    biases and the absence of a normalisation follow from the paper's parameter counts, the zero
    start of W_v from their GC block.
    """
    return ContextBlock(in_channels, pooling="att", axes=axes, ratio=None, fusion=("add",))


def squeeze_excitation(
    in_channels: int, *, ratio: float = 1 / 16, axes: Axes = "thw", mul_start: MulStart = "half"
) -> ContextBlock:
    """Squeeze-excitation (SE) block: average pooling, bottleneck with ReLU, multiplication.

        z_i = x_i * sigmoid(W_2 ReLU(W_1 mean_j x_j))

    Source: Hu et al., Squeeze-and-Excitation Networks (arXiv:1709.01507).
    Differs from the paper: the last layer starts at zero, as in the GCNet authors' code, so that
    every block of a comparison starts from a known function: x / 2, or x with
    ``mul_start="identity"``.
    """
    return ContextBlock(
        in_channels,
        pooling="avg",
        axes=axes,
        ratio=ratio,
        norm=False,
        fusion=("mul",),
        mul_start=mul_start,
    )
