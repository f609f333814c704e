"""ImageNet weights of torchvision, for inflation.

Source: torchvision.models.ResNet50_Weights and ResNet101_Weights of torchvision 0.29: addresses and
accuracy are those of their ``url`` and ``meta``.
"""

from gcvideo.weights.zoo._description import describe_image_net
from gcvideo.weights.zoo._record import PublishedWeights


def _record(depth: int, version: int, sha256: str, top1: float, top5: float) -> PublishedWeights:
    return PublishedWeights(
        name=f"resnet{depth}_torchvision_v{version}",
        url=f"https://download.pytorch.org/models/resnet{depth}-{sha256}.pth",
        layout="torchvision",
        net=describe_image_net(depth=depth),
        classes=None,
        protocol=None,
        top1=top1,
        top5=top5,
        views="1 x 1",
        accuracy_source=f"ResNet{depth}_Weights.IMAGENET1K_V{version}.meta; on ImageNet-1k",
        sha256=sha256,
        licence="BSD-3-Clause",
        inflated=True,
    )


RECORDS = (
    _record(50, 1, "0676ba61", 76.130, 92.862),
    _record(50, 2, "11ad3fa6", 80.858, 95.434),
    _record(101, 1, "63fe2227", 77.374, 93.546),
    _record(101, 2, "cd907fc2", 81.886, 95.780),
)
