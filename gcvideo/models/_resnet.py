"""Slow, I3D and C2D ResNets, built with pytorchvideo."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

from gcvideo._family import (
    C2D_KERNELS,
    I3D_KERNELS,
    SLOW_KERNELS,
    STAGE_DEPTHS,
    Depth,
    HeadMode,
    TemporalKernels,
)
from gcvideo.models._backbone import Net, create_resnet
from gcvideo.models._head import Head
from gcvideo.models._insertion import Placement, insert_blocks
from gcvideo.nn._max_pool import VideoMaxPool3d
from gcvideo.weights import load_weights
from gcvideo.weights._weight_source import find_weights


def slow_resnet(
    *,
    num_classes: int | None = None,
    weights: str | Path | None = None,
    depth: Depth = 50,
    width: int = 64,
    dropout: float = 0.5,
    head: HeadMode = "adaptive",
    placement: Placement = Placement(),
    stem_pool_padding: Literal[0, 1] = 1,
) -> Net:
    """The slow pathway of SlowFast: 2-D until res3, 3x1x1 kernels in res4 and res5, no temporal pooling.

    Input (b, 3, t, h, w) normalised RGB, output logits (b, k). Built with pytorchvideo's
    ``create_resnet``, whose parameter names it keeps; He initialisation, last gamma of each
    residual branch zero.
    Source: Feichtenhofer et al., SlowFast Networks, as in PyTorchVideo's ``slow_r50``.
    Differs: the head accepts any clip length and crop.

    Args:
        num_classes: K; None: the number of classes of the weights.
        weights: published weights by name (keys of ``gcvideo.weights.ZOO``), or a file of weights, to
            start from. Everything must fit except the head, which starts fresh if it has another number
            of classes, and context blocks that the weights lack, which start fresh too.
        depth: 50 or 101 layers.
        width: channels of the stem; 64 is the published net.
        dropout: probability before the linear layer.
        head: pooling mode of :class:`~gcvideo.models.Head`.
        placement: context blocks to insert; none by default.
        stem_pool_padding: padding of the 3x3 max-pool behind the first convolution; 0 in video-nonlocal-net.

    Raises:
        ValueError: for another depth, fewer than two classes or a placement that does not fit.
        WeightsError: for weights that cannot be had, or those of another family, depth or function.

    Example:
        >>> import functools, gcvideo.nn
        >>> block = functools.partial(gcvideo.nn.global_context, ratio=1 / 4)
        >>> net = slow_resnet(num_classes=400, placement=Placement(block=block, res4=[1, 3, 5]))
        >>> sum(p.numel() for p in net.parameters())
        34035411
    """
    return video_resnet(
        temporal_kernels=SLOW_KERNELS,
        depth=depth,
        width=width,
        num_classes=num_classes,
        weights=weights,
        dropout=dropout,
        head=head,
        placement=placement,
        stem_pool_padding=stem_pool_padding,
    )


def i3d_resnet(  # noqa: PLR0913 - published variants differ in the stem and in the pools
    *,
    num_classes: int | None = None,
    weights: str | Path | None = None,
    depth: Depth = 50,
    width: int = 64,
    dropout: float = 0.5,
    head: HeadMode = "adaptive",
    placement: Placement = Placement(),
    temporal_stride: Literal[1, 2] = 1,
    stem_pool_padding: Literal[0, 1] = 1,
    temporal_pool: bool = True,
) -> Net:
    """Inflated 3-D ResNet: 3x1x1 kernels in every other residual block and a 2x1x1 pool after res2.

    Source: the I3D of Wang et al., Non-local Neural Networks (arXiv:1711.07971), in the 8x8 form of
    PySlowFast and PyTorchVideo (``i3d_r50``): stem 5x7x7, no temporal stride in the stem.
    Shapes, errors and arguments as for :func:`slow_resnet`, and two of published variants:
    ``temporal_stride`` is that of the first convolution and of the pool behind it, each (2 in mmaction2's
    32x2 nets); ``temporal_pool`` is whether there is a pool after res2.
    """
    return video_resnet(
        temporal_kernels=I3D_KERNELS,
        stem_kernel=5,
        depth=depth,
        width=width,
        num_classes=num_classes,
        weights=weights,
        dropout=dropout,
        head=head,
        placement=placement,
        temporal_stride=temporal_stride,
        stem_pool_padding=stem_pool_padding,
        temporal_pool=temporal_pool,
    )


def c2d_resnet(  # noqa: PLR0913 - as for i3d_resnet
    *,
    num_classes: int | None = None,
    weights: str | Path | None = None,
    depth: Depth = 50,
    width: int = 64,
    dropout: float = 0.5,
    head: HeadMode = "adaptive",
    placement: Placement = Placement(),
    temporal_stride: Literal[1, 2] = 1,
    stem_pool_padding: Literal[0, 1] = 1,
    temporal_pool: bool = True,
) -> Net:
    """2-D ResNet over frames, which only meet in the 2x1x1 pool after res2 and in the head.

    Source: the C2D baseline of Wang et al., Non-local Neural Networks (arXiv:1711.07971), in the 8x8
    form of PySlowFast and PyTorchVideo (``c2d_r50``).
    Arguments, shapes and errors as for :func:`i3d_resnet`.
    """
    return video_resnet(
        temporal_kernels=C2D_KERNELS,
        depth=depth,
        width=width,
        num_classes=num_classes,
        weights=weights,
        dropout=dropout,
        head=head,
        placement=placement,
        temporal_stride=temporal_stride,
        stem_pool_padding=stem_pool_padding,
        temporal_pool=temporal_pool,
    )


def video_resnet(  # noqa: PLR0913 - the union of what the three nets and their users set
    *,
    num_classes: int | None = None,
    weights: str | Path | None = None,
    temporal_kernels: TemporalKernels,
    stem_kernel: int = 1,
    depth: Depth = 50,
    width: int = 64,
    dropout: float = 0.5,
    head: HeadMode = "adaptive",
    placement: Placement = Placement(),
    temporal_stride: Literal[1, 2] = 1,
    stem_pool_padding: Literal[0, 1] = 1,
    temporal_pool: bool = False,
) -> Net:
    """Bottleneck ResNet over clips with temporal kernels of any pattern: what the named nets share.

    ``temporal_kernels`` are, for each of res2-res5, the lengths in frames of the residual blocks'
    first kernels, repeated over the blocks: ``[[3], [3, 1], [3, 1], [1, 3]]`` is I3D.
    ``stem_kernel`` is the length in frames of the first convolution. Shapes, errors and further
    arguments as for :func:`i3d_resnet`.
    """
    if depth not in STAGE_DEPTHS:
        raise ValueError(f"depth is {depth}; a ResNet of this family has 50 or 101 layers")
    source = None if weights is None else find_weights(weights)
    if num_classes is None:
        if source is None:
            raise ValueError(
                "num_classes is missing; give it, or weights whose classes the net takes over"
            )
        num_classes = source.num_classes
    if num_classes is None:
        raise ValueError(
            f"the weights '{weights}' name no classes; give num_classes for a fresh head"
        )
    if width < 1:
        raise ValueError(
            f"width is {width}; the stem needs at least 1 channel (64 is the full net)"
        )
    _check_kernels([[stem_kernel], *temporal_kernels])
    # pytorchvideo annotates kernels as one-element tuples, and optional parts as callables.
    build = cast(Any, create_resnet)
    net: Net = build(
        model_depth=depth,
        stem_dim_out=width,
        stem_conv_kernel_size=(stem_kernel, 7, 7),
        stem_conv_stride=(temporal_stride, 2, 2),
        stem_pool=VideoMaxPool3d,
        stem_pool_stride=(temporal_stride, 2, 2),
        stage1_pool=VideoMaxPool3d if temporal_pool else None,
        stage1_pool_kernel_size=(2, 1, 1),
        stage_conv_a_kernel_size=tuple(
            [(k, 1, 1) for k in pattern] for pattern in temporal_kernels
        ),
        head=None,
    )
    blocks = cast(Any, net.blocks)
    blocks[0].pool.padding = (0, stem_pool_padding, stem_pool_padding)
    blocks.append(Head(32 * width, num_classes, dropout=dropout, mode=head))
    insert_blocks(net, placement)
    if source is not None:
        load_weights(net, source)
    return net


def _check_kernels(patterns: Sequence[Sequence[int]]) -> None:
    lengths = [length for pattern in patterns for length in pattern]
    if len(patterns) != 5 or not all(patterns) or any(k < 1 or k % 2 == 0 for k in lengths):
        raise ValueError(
            f"stem_kernel and temporal_kernels are {list(patterns)}; give one for the stem and one for "
            "each of res2-res5, as odd numbers of frames"
        )
