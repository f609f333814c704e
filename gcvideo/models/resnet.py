from collections.abc import Sequence
from typing import Any, Literal, cast

from torch import nn

from gcvideo.models.backbone import Net, create_resnet
from gcvideo.models.head import Head, HeadMode
from gcvideo.models.insertion import insert_blocks
from gcvideo.models.placement import Placement

Depth = Literal[50, 101]
Kernel = tuple[int, int, int]

_SPATIAL: Kernel = (1, 1, 1)
_TEMPORAL: Kernel = (3, 1, 1)


def slow_resnet(
    *,
    num_classes: int,
    depth: Depth = 50,
    width: int = 64,
    dropout: float = 0.5,
    head: HeadMode = "adaptive",
    placement: Placement = Placement(),
) -> Net:
    """Slow pathway of SlowFast: 2-D until res3, 3x1x1 kernels in res4 and res5, no temporal pooling.

    Input (b, 3, t, h, w) normalised RGB, output logits (b, k). Built with pytorchvideo's
    ``create_resnet``, whose parameter names it keeps; He initialisation, last gamma of each
    residual branch zero.
    Source: Feichtenhofer et al., SlowFast Networks, as in PyTorchVideo's ``slow_r50``.
    Differs: the head accepts any clip length and crop.

    Args:
        num_classes: K.
        depth: 50 or 101 layers.
        width: channels of the stem; 64 is the published net.
        dropout: probability before the linear layer.
        head: pooling mode of :class:`~gcvideo.models.Head`.
        placement: context blocks to insert; none by default.

    Raises:
        ValueError: for another depth, fewer than two classes or a placement that does not fit.

    Example:
        >>> import functools, gcvideo.nn
        >>> block = functools.partial(gcvideo.nn.global_context, ratio=1 / 4)
        >>> net = slow_resnet(num_classes=400, placement=Placement(block=block, res4=[1, 3, 5]))
        >>> sum(p.numel() for p in net.parameters())
        34035411
    """
    return _resnet(
        depth=depth,
        width=width,
        num_classes=num_classes,
        dropout=dropout,
        head=head,
        placement=placement,
        stem_kernel=(1, 7, 7),
        temporal_pool=False,
        conv_a_kernels=(_SPATIAL, _SPATIAL, _TEMPORAL, _TEMPORAL),
    )


def i3d_resnet(
    *,
    num_classes: int,
    depth: Depth = 50,
    width: int = 64,
    dropout: float = 0.5,
    head: HeadMode = "adaptive",
    placement: Placement = Placement(),
) -> Net:
    """Inflated 3-D ResNet: 3x1x1 kernels in every other residual block and a 2x1x1 pool after res2.

    Source: the I3D of Wang et al., Non-local Neural Networks (arXiv:1711.07971), in the 8x8 form of
    PySlowFast and PyTorchVideo (``i3d_r50``): stem 5x7x7, no temporal stride in the stem.
    Arguments, shapes and errors as for :func:`slow_resnet`.
    """
    return _resnet(
        depth=depth,
        width=width,
        num_classes=num_classes,
        dropout=dropout,
        head=head,
        placement=placement,
        stem_kernel=(5, 7, 7),
        temporal_pool=True,
        conv_a_kernels=(
            _TEMPORAL,
            [_TEMPORAL, _SPATIAL],
            [_TEMPORAL, _SPATIAL],
            [_SPATIAL, _TEMPORAL],
        ),
    )


def c2d_resnet(
    *,
    num_classes: int,
    depth: Depth = 50,
    width: int = 64,
    dropout: float = 0.5,
    head: HeadMode = "adaptive",
    placement: Placement = Placement(),
) -> Net:
    """2-D ResNet over frames: time meets only in the 2x1x1 pool after res2 and in the head.

    Source: the C2D baseline of Wang et al., Non-local Neural Networks (arXiv:1711.07971), in the 8x8
    form of PySlowFast and PyTorchVideo (``c2d_r50``).
    Arguments, shapes and errors as for :func:`slow_resnet`.
    """
    return _resnet(
        depth=depth,
        width=width,
        num_classes=num_classes,
        dropout=dropout,
        head=head,
        placement=placement,
        stem_kernel=(1, 7, 7),
        temporal_pool=True,
        conv_a_kernels=(_SPATIAL,) * 4,
    )


def _resnet(  # noqa: PLR0913 - the union of what the three nets and their users set
    *,
    depth: int,
    width: int,
    num_classes: int,
    dropout: float,
    head: HeadMode,
    placement: Placement,
    stem_kernel: Kernel,
    temporal_pool: bool,
    conv_a_kernels: Sequence[Kernel | Sequence[Kernel]],
) -> Net:
    if depth not in (50, 101):
        raise ValueError(f"depth is {depth}; a ResNet of this family has 50 or 101 layers")
    if num_classes < 2:
        raise ValueError(f"num_classes is {num_classes}; a classifier needs at least 2")
    if width < 1:
        raise ValueError(
            f"width is {width}; the stem needs at least 1 channel (64 is the full net)"
        )
    # pytorchvideo annotates kernels as one-element tuples and optional parts as callables.
    build = cast(Any, create_resnet)
    net: Net = build(
        model_depth=depth,
        stem_dim_out=width,
        stem_conv_kernel_size=stem_kernel,
        stage1_pool=nn.MaxPool3d if temporal_pool else None,
        stage1_pool_kernel_size=(2, 1, 1),
        stage_conv_a_kernel_size=tuple(conv_a_kernels),
        head=None,
    )
    cast(nn.ModuleList, net.blocks).append(
        Head(32 * width, num_classes, dropout=dropout, mode=head)
    )
    return insert_blocks(net, placement)
