"""Weights of video-nonlocal-net, the authors' code of Non-local Neural Networks; 8x8, from ImageNet.

Source: README.md at c253ed5, with scripts/run_*_400k.sh and lib/models. The stem's pool has no
padding (resnet_video.py).
"""

from typing import Any

from gcvideo.weights.zoo._description import describe_net, describe_protocol, five_non_local_blocks
from gcvideo.weights.zoo._record import PublishedWeights

_NON_LOCAL = five_non_local_blocks(
    first=1, kind="embedded_gaussian", sub_sample="before", scale=True
)


def _record(name: str, file: str, top1: float, top5: float, **arguments: Any) -> PublishedWeights:
    return PublishedWeights(
        name=f"{name}_8x8_r50_video_nonlocal_imagenet",
        url=f"https://dl.fbaipublicfiles.com/video-nonlocal/{file}_8x8_IN_pretrain_400k.pkl",
        layout="caffe2",
        net=describe_net(name.partition("_")[0], head="fcn_prob", stem_pool_padding=0, **arguments),
        classes="kinetics400",
        protocol=describe_protocol(
            "nonlocal",
            clip=(8, 8),
            sampling="NonLocalSampling",
            head="fcn_prob",
            resizing={"_target_": "gcvideo.data.NonLocalResizing"},
            crops={"_target_": "gcvideo.data.NonLocalCrops"},
        ),
        top1=top1,
        top5=top5,
        views="10 x 3",
        accuracy_source="README.md of video-nonlocal-net, c253ed5",
        licence="CC-BY-NC-4.0",
    )


RECORDS = (
    _record("c2d", "c2d_baseline", 71.9, 90.0),
    _record("c2d_nl", "c2d_nonlocal", 74.4, 91.4, placement=_NON_LOCAL),
    _record("i3d", "i3d_baseline", 73.4, 90.9),
    _record("i3d_nl", "i3d_nonlocal", 74.7, 91.6, placement=_NON_LOCAL),
)
