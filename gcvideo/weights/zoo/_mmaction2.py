"""Weights of mmaction2, branch main (1.x).

Source: configs/recognition/{slowonly,i3d,c2d}/README.md at 4d6c934, with their configs, metafile.yml
and mmaction/models. Left out: I3D "heavy".
"""

from typing import Any

from gcvideo.weights.zoo._description import (
    Description,
    describe_net,
    describe_protocol,
    five_non_local_blocks,
)
from gcvideo.weights.zoo._record import PublishedWeights

Accuracy = tuple[float, float]


def describe_mmaction2_protocol(
    clip: tuple[int, int],
    name: str = "mmaction",
    sampling: str = "MMActionSampling",
    /,
    **arguments: Any,
) -> Description:
    """mmaction2's clips and crops, its head that pools over everything, and ImageNet's colours."""
    settings = {
        "resizing": {"_target_": "gcvideo.data.MMActionResizing"},
        "crops": {"_target_": "gcvideo.data.MMActionCrops"},
        "val_crop_size": 224,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    return describe_protocol(
        name,
        clip=clip,
        sampling=sampling,
        head="adaptive",
        **(settings | arguments),
    )


def mmaction2_record(
    name: str,
    path: str,
    *,
    net: Description,
    protocol: Description,
    accuracy: Accuracy,
    accuracy_source: str,
) -> PublishedWeights:
    """A file of mmaction2's server, whose name ends in the first digits of its SHA-256."""
    digits = path.rpartition("-")[2].removesuffix(".pth")
    return PublishedWeights(
        name=name,
        url=f"https://download.openmmlab.com/mmaction/{path}",
        layout="mmaction2",
        net=net,
        classes="kinetics400",
        protocol=protocol,
        top1=accuracy[0],
        top5=accuracy[1],
        views="10 x 3",
        accuracy_source=accuracy_source,
        # Two files of different nets bear these digits: at most one of the names can be right.
        sha256=None if digits == "df42dc84" else digits,
        licence="Apache-2.0",
    )


def _record(
    name: str,
    config: str,
    stamp: str,
    *,
    net: Description,
    protocol: Description,
    accuracy: Accuracy,
    metafile: Accuracy | None = None,
    file: str | None = None,
) -> PublishedWeights:
    folder = config.partition("_")[0]
    source = f"configs/recognition/{folder}/README.md of mmaction2, 4d6c934"
    if metafile is not None:
        source += f"; metafile.yml says {metafile[0]:.2f} and {metafile[1]:.2f}"
    return mmaction2_record(
        name,
        f"v1.0/recognition/{folder}/{config}/{file or config}_{stamp}.pth",
        net=net,
        protocol=protocol,
        accuracy=accuracy,
        accuracy_source=source,
    )


def mmcv_non_local(*, first: int, **block: Any) -> Description:
    """Non-local blocks of mmcv: pooling behind phi and g, no bias in front of the batch norm."""
    return five_non_local_blocks(first=first, sub_sample="after", output_bias=False, **block)


SLOW = describe_net("slow", head="adaptive")
SLOW_R101 = describe_net("slow", depth=101, head="adaptive")
SLOW_NON_LOCAL = SLOW | {"placement": mmcv_non_local(first=0, kind="embedded_gaussian", scale=True)}
SLOW_4X16, SLOW_8X8 = (describe_mmaction2_protocol(clip) for clip in ((4, 16), (8, 8)))

_I3D = describe_net("i3d", head="adaptive", temporal_stride=2)
_I3D_32X2 = describe_mmaction2_protocol((32, 2))
_I3D_DENSE_32X2 = describe_mmaction2_protocol((32, 2), "mmaction_dense", "MMActionDenseSampling")


def _i3d_non_local(kind: str) -> Description:
    return _I3D | {"placement": mmcv_non_local(first=1, kind=kind, scale=False)}


# mmaction2 runs C2D without the pool as a net for images and averages the features of all frames of
# all views in front of the linear layer: the same as averaging the views' logits.
_NO_POOL = {"head": "adaptive", "temporal_pool": False}
_C2D = describe_net("c2d", head="adaptive", stem_pool_padding=0)
# The test resizes to 224 pixels; validation to 256, which one protocol cannot say as well.
_SMALL = {"short_side": 224, "crop_size": 224}
_C2D_NO_POOL_8X8 = describe_mmaction2_protocol((8, 8), average="logit", **_SMALL)

RECORDS = (
    _record(
        "slow_4x16_r50_mmaction2",
        "slowonly_r50_8xb16-4x16x1-256e_kinetics400-rgb",
        "20220901-f6a40d08",
        file="slowonly_r50_4x16x1_256e_8xb16_kinetics400-rgb",
        net=SLOW,
        protocol=SLOW_4X16,
        accuracy=(72.97, 90.88),
        metafile=(72.68, 90.68),
    ),
    _record(
        "slow_8x8_r50_mmaction2",
        "slowonly_r50_8xb16-8x8x1-256e_kinetics400-rgb",
        "20220901-2132fc87",
        net=SLOW,
        protocol=SLOW_8X8,
        accuracy=(75.15, 92.11),
        metafile=(74.82, 91.80),
    ),
    _record(
        "slow_8x8_r101_mmaction2",
        "slowonly_r101_8xb16-8x8x1-196e_kinetics400-rgb",
        "20220901-e6281431",
        net=SLOW_R101,
        protocol=SLOW_8X8,
        accuracy=(76.59, 92.80),
        metafile=(76.28, 92.70),
    ),
    _record(
        "slow_4x16_r50_mmaction2_imagenet",
        "slowonly_imagenet-pretrained-r50_8xb16-4x16x1-steplr-150e_kinetics400-rgb",
        "20220901-e7b65fad",
        net=SLOW,
        protocol=SLOW_4X16,
        accuracy=(75.12, 91.72),
        metafile=(74.83, 91.60),
    ),
    _record(
        "slow_8x8_r50_mmaction2_imagenet",
        "slowonly_imagenet-pretrained-r50_8xb16-8x8x1-steplr-150e_kinetics400-rgb",
        "20220901-df42dc84",
        net=SLOW,
        protocol=SLOW_8X8,
        accuracy=(76.45, 92.55),
        metafile=(75.96, 92.40),
    ),
    _record(
        "slow_nl_4x16_r50_mmaction2_imagenet",
        "slowonly_r50-in1k-pre-nl-embedded-gaussian_8xb16-4x16x1-steplr-150e_kinetics400-rgb",
        "20220901-cf739c75",
        net=SLOW_NON_LOCAL,
        protocol=SLOW_4X16,
        accuracy=(75.07, 91.69),
        metafile=(74.84, 91.41),
    ),
    _record(
        "slow_nl_8x8_r50_mmaction2_imagenet",
        "slowonly_r50-in1k-pre-nl-embedded-gaussian_8xb16-8x8x1-steplr-150e_kinetics400-rgb",
        "20220901-df42dc84",
        net=SLOW_NON_LOCAL,
        protocol=SLOW_8X8,
        accuracy=(76.65, 92.47),
        metafile=(76.35, 92.18),
    ),
    _record(
        "i3d_32x2_r50_mmaction2_imagenet",
        "i3d_imagenet-pretrained-r50_8xb8-32x2x1-100e_kinetics400-rgb",
        "20220812-e213c223",
        net=_I3D,
        protocol=_I3D_32X2,
        accuracy=(73.47, 91.27),
    ),
    _record(
        "i3d_dense_32x2_r50_mmaction2_imagenet",
        "i3d_imagenet-pretrained-r50_8xb8-dense-32x2x1-100e_kinetics400-rgb",
        "20220812-9f46003f",
        net=_I3D,
        protocol=_I3D_DENSE_32X2,
        accuracy=(73.77, 91.35),
    ),
    _record(
        "i3d_nl_32x2_r50_mmaction2_imagenet",
        "i3d_imagenet-pretrained-r50-nl-embedded-gaussian_8xb8-32x2x1-100e_kinetics400-rgb",
        "20220812-afd8f562",
        net=_i3d_non_local("embedded_gaussian"),
        protocol=_I3D_32X2,
        accuracy=(74.73, 91.80),
    ),
    _record(
        "i3d_nl_dot_product_32x2_r50_mmaction2_imagenet",
        "i3d_imagenet-pretrained-r50-nl-dot-product_8xb8-32x2x1-100e_kinetics400-rgb",
        "20220812-8e1f2148",
        net=_i3d_non_local("dot_product"),
        protocol=_I3D_32X2,
        accuracy=(74.80, 92.07),
    ),
    _record(
        "i3d_nl_gaussian_32x2_r50_mmaction2_imagenet",
        "i3d_imagenet-pretrained-r50-nl-gaussian_8xb8-32x2x1-100e_kinetics400-rgb",
        "20220812-0c5cbf5a",
        net=_i3d_non_local("gaussian"),
        protocol=_I3D_32X2,
        accuracy=(73.97, 91.33),
    ),
    _record(
        "c2d_nopool_8x8_r50_mmaction2_imagenet",
        "c2d_r50-in1k-pre-nopool_8xb32-8x8x1-100e_kinetics400-rgb",
        "20221027-e0227b22",
        net=describe_net("c2d", **_NO_POOL),
        protocol=_C2D_NO_POOL_8X8,
        accuracy=(73.44, 91.00),
    ),
    _record(
        "c2d_nopool_8x8_r101_mmaction2_imagenet",
        "c2d_r101-in1k-pre-nopool_8xb32-8x8x1-100e_kinetics400-rgb",
        "20221027-557bd8bc",
        net=describe_net("c2d", depth=101, **_NO_POOL),
        protocol=_C2D_NO_POOL_8X8,
        accuracy=(74.97, 91.77),
    ),
    _record(
        "c2d_8x8_r50_mmaction2_imagenet",
        "c2d_r50-in1k-pre_8xb32-8x8x1-100e_kinetics400-rgb",
        "20221027-3ca304fa",
        net=_C2D,
        protocol=describe_mmaction2_protocol((8, 8), **_SMALL),
        accuracy=(73.89, 91.21),
    ),
    _record(
        "c2d_16x4_r50_mmaction2_imagenet",
        "c2d_r50-in1k-pre_8xb32-16x4x1-100e_kinetics400-rgb",
        "20221027-5f382a43",
        net=_C2D,
        protocol=describe_mmaction2_protocol((16, 4), **_SMALL),
        accuracy=(74.97, 91.91),
    ),
)
