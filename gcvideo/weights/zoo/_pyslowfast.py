"""Weights of PySlowFast: Caffe2 pickles that it loads and scores itself, and one ImageNet ResNet.

Source: MODEL_ZOO.md at 287ec00, with configs/Kinetics/c2/*.yaml and slowfast/models. The stem's pool
is padded as in PySlowFast (stem_helper.py), which gives the published accuracy with these files
according to its authors (issue 28 of the repository), and not as in video-nonlocal-net. The accuracies
stand in the first commit (31d2ea7, 2019), whose only reader is PyAV's, and have not changed since.
"""

from typing import Any

from gcvideo.weights.zoo._description import (
    describe_image_net,
    describe_net,
    describe_protocol,
    five_non_local_blocks,
)
from gcvideo.weights.zoo._record import PublishedWeights

_FOLDER = "https://dl.fbaipublicfiles.com/pyslowfast/model_zoo/kinetics400"
_SOURCE = "MODEL_ZOO.md of PySlowFast, 287ec00"
_NON_LOCAL = five_non_local_blocks(
    first=1, kind="embedded_gaussian", sub_sample="before", scale=True
)


def _record(
    name: str, clip: tuple[int, int], file: str, top1: float, top5: float, **arguments: Any
) -> PublishedWeights:
    return PublishedWeights(
        name=f"{name}_{clip[0]}x{clip[1]}_r50_pyslowfast",
        url=f"{_FOLDER}/{file}",
        layout="caffe2",
        net=describe_net(name.partition("_")[0], head="fcn_prob", **arguments),
        classes="kinetics400",
        protocol=describe_protocol(
            "slowfast_pyav", clip=clip, sampling="SlowFastSampling", reader="pyav", head="fcn_prob"
        ),
        top1=top1,
        top5=top5,
        views="10 x 3",
        accuracy_source=_SOURCE,
        licence="Apache-2.0",
    )


RECORDS = (
    # The config names a class that PySlowFast does not have: C2D without the pool is what it was.
    _record("c2d_nopool", (8, 8), "C2D_NOPOOL_8x8_R50.pkl", 67.2, 87.8, temporal_pool=False),
    _record("i3d", (8, 8), "I3D_8x8_R50.pkl", 73.5, 90.8),
    _record("i3d_nl", (8, 8), "I3D_NLN_8x8_R50.pkl", 74.0, 91.1, placement=_NON_LOCAL),
    _record("slow", (4, 16), "SLOWONLY_4x16_R50.pkl", 72.7, 90.3),
    _record("slow", (8, 8), "SLOWONLY_8x8_R50.pkl", 74.8, 91.6),
    PublishedWeights(
        name="resnet50_pyslowfast",
        url=f"{_FOLDER}/R50_IN1K.pyth",
        layout="pyslowfast",
        net=describe_image_net(depth=50),
        classes=None,
        protocol=None,
        top1=76.4,
        top5=93.2,
        views="1 x 1",
        accuracy_source=f"{_SOURCE}; on ImageNet-1k",
        licence="Apache-2.0",
        inflated=True,
    ),
)
