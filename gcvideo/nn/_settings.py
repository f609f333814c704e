"""Named settings of the context block: the published blocks that are special cases of it."""

from collections.abc import Sequence

from gcvideo.nn._context import ContextBlock, Fusion, MulStart, Pooling
from gcvideo.nn._grid import Axes


def global_context(  # noqa: PLR0913 (the settings of a block)
    in_channels: int,
    *,
    ratio: float | None = 1 / 4,
    pooling: Pooling = "att",
    axes: Axes = "thw",
    norm: bool = True,
    activation: bool = True,
    fusion: Sequence[Fusion] = ("add",),
    mul_start: MulStart = "half",
    eps: float = 1e-5,
) -> ContextBlock:
    """Global context (GC) block: attention pooling, bottleneck with LayerNorm, addition.

        z_i = x_i + W_v2 ReLU(LN(W_v1 sum_j a_j x_j)),    a = softmax_j(W_k x_j)

    Source: Cao et al., GCNet (arXiv:1904.11492), Eq. 5. The remaining arguments are those of
    `ContextBlock`, for ablations.

    Example:
        >>> sum(p.numel() for p in global_context(512).parameters())
        132481
    """
    return ContextBlock(
        in_channels,
        ratio=ratio,
        pooling=pooling,
        axes=axes,
        norm=norm,
        activation=activation,
        fusion=fusion,
        mul_start=mul_start,
        eps=eps,
    )


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
