"""Weights of mmaction2, branch 0.x: SlowOnly, trained on copies with a short side of 320 pixels.

Source: configs/recognition/slowonly/README.md at 71a938a, with its configs and metafile.yml, which
agree.
"""

from gcvideo.weights.zoo._description import Description
from gcvideo.weights.zoo._mmaction2 import (
    SLOW,
    SLOW_4X16,
    SLOW_8X8,
    SLOW_NON_LOCAL,
    SLOW_R101,
    Accuracy,
    mmaction2_record,
)
from gcvideo.weights.zoo._record import PublishedWeights


def _record(
    name: str, path: str, net: Description, protocol: Description, accuracy: Accuracy
) -> PublishedWeights:
    return mmaction2_record(
        name,
        f"recognition/slowonly/{path}",
        net=net,
        protocol=protocol,
        accuracy=accuracy,
        accuracy_source="configs/recognition/slowonly/README.md of mmaction2, 0.x, 71a938a",
    )


def _path(config: str, stamp: str) -> str:
    return f"{config}/{config}_{stamp}.pth"


RECORDS = (
    _record(
        "slow_4x16_r50_mmaction2_0x",
        _path("slowonly_r50_4x16x1_256e_kinetics400_rgb", "20200704-a69556c6"),
        SLOW,
        SLOW_4X16,
        (73.02, 90.77),
    ),
    _record(
        "slow_8x8_r50_mmaction2_0x",
        _path("slowonly_r50_8x8x1_256e_kinetics400_rgb", "20200703-a79c555a"),
        SLOW,
        SLOW_8X8,
        (74.93, 91.92),
    ),
    _record(
        "slow_8x8_r101_mmaction2_0x",
        "omni/slowonly_r101_without_omni_8x8x1_kinetics400_rgb_20200926-0c730aef.pth",
        SLOW_R101,
        SLOW_8X8,
        (76.5, 92.7),
    ),
    _record(
        "slow_4x16_r50_mmaction2_0x_imagenet",
        _path("slowonly_imagenet_pretrained_r50_4x16x1_150e_kinetics400_rgb", "20200912-1e8fc736"),
        SLOW,
        SLOW_4X16,
        (73.39, 91.12),
    ),
    _record(
        "slow_8x8_r50_mmaction2_0x_imagenet",
        _path("slowonly_imagenet_pretrained_r50_8x8x1_150e_kinetics400_rgb", "20200912-3f9ce182"),
        SLOW,
        SLOW_8X8,
        (75.55, 92.04),
    ),
    _record(
        "slow_nl_4x16_r50_mmaction2_0x_imagenet",
        _path("slowonly_nl_embedded_gaussian_r50_4x16x1_150e_kinetics400_rgb", "20210308-0d6e5a69"),
        SLOW_NON_LOCAL,
        SLOW_4X16,
        (74.54, 91.73),
    ),
    _record(
        "slow_nl_8x8_r50_mmaction2_0x_imagenet",
        _path("slowonly_nl_embedded_gaussian_r50_8x8x1_150e_kinetics400_rgb", "20210308-e8dd9e82"),
        SLOW_NON_LOCAL,
        SLOW_8X8,
        (76.07, 92.42),
    ),
)
