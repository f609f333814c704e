"""Weights of PyTorchVideo.

Source: docs/source/model_zoo.md at f3142bb. They were trained and scored by PySlowFast with
PyTorchVideo's data sets and nets (configs/Kinetics/pytorchvideo/*.yaml, data set "ptvkinetics"):
PyTorchVideo's clip sampling of 2021, and PySlowFast's softmax at every position of the head
(PTVResNet.forward). The nets of torch.hub average logits instead, so ``net`` and ``protocol`` name
different heads.
"""

from gcvideo.weights.zoo._description import describe_net, describe_protocol
from gcvideo.weights.zoo._record import PublishedWeights


def _record(
    family: str, clip: tuple[int, int], file: str, top1: float, top5: float
) -> PublishedWeights:
    return PublishedWeights(
        name=f"{family}_{clip[0]}x{clip[1]}_r50_pytorchvideo",
        url=f"https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/{file}",
        layout="pytorchvideo",
        net=describe_net(family, head="fcn_logit"),
        classes="kinetics400",
        protocol=describe_protocol(
            "pytorchvideo", clip=clip, sampling="PyTorchVideoSampling", head="fcn_prob"
        ),
        top1=top1,
        top5=top5,
        views="10 x 3",
        accuracy_source="docs/source/model_zoo.md of PyTorchVideo, f3142bb",
        licence="Apache-2.0",
    )


RECORDS = (
    _record("c2d", (8, 8), "C2D_8x8_R50.pyth", 71.46, 89.68),
    _record("i3d", (8, 8), "I3D_8x8_R50.pyth", 73.27, 90.70),
    _record("slow", (4, 16), "SLOW_4x16_R50.pyth", 72.40, 90.18),
    _record("slow", (8, 8), "SLOW_8x8_R50.pyth", 74.58, 91.63),
)
