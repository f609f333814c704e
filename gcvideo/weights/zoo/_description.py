"""Descriptions of nets and protocols: what the tables of published weights have in common."""

from typing import Any

Description = dict[str, Any]


def describe_net(family: str, *, depth: int = 50, head: str, **arguments: Any) -> Description:
    """A net for the 400 classes of Kinetics-400."""
    return {
        "_target_": f"gcvideo.models.{family}_resnet",
        "num_classes": 400,
        "depth": depth,
        "head": head,
        **arguments,
    }


def describe_image_net(*, depth: int) -> Description:
    """The net for images that inflation starts from: C2D without its pool, on clips of one frame."""
    return {
        "_target_": "gcvideo.models.c2d_resnet",
        "num_classes": 1000,
        "depth": depth,
        "temporal_pool": False,
    }


def five_non_local_blocks(*, first: int, **block: Any) -> Description:
    """Non-local blocks behind every other residual block of res3 and res4 of a ResNet-50.

    Args:
        first: index of the first of them in each stage, 0 or 1.
        block: arguments of the block.
    """
    return {
        "_target_": "gcvideo.models.Placement",
        "block": {"_target_": "gcvideo.nn.NonLocalBlock", "_partial_": True, **block},
        "res3": list(range(first, 4, 2)),
        "res4": list(range(first, 6, 2)),
        "position": "after_relu",
    }


def describe_protocol(
    name: str,
    *,
    clip: tuple[int, int],
    sampling: str,
    reader: str | None = None,
    head: str,
    **arguments: Any,
) -> Description:
    """10 clips x 3 crops of 256 pixels, normalised by one mean and deviation for all colours.

    Sides are rounded and crops placed as in PySlowFast and PyTorchVideo.

    Args:
        name: of the protocol.
        clip: T and tau.
        sampling: name of a clip sampling of ``gcvideo.data``.
        reader: of a ``SlowFastSampling``.
        head: head mode of the score.
        arguments: of ``EvaluationProtocol``, instead of these or in addition.
    """
    return {
        "_target_": "gcvideo.data.EvaluationProtocol",
        "name": name,
        "sampling": {"_target_": f"gcvideo.data.{sampling}"}
        | ({"reader": reader} if reader else {}),
        "resizing": {"_target_": "gcvideo.data.SlowFastResizing"},
        "crops": {"_target_": "gcvideo.data.SlowFastCrops"},
        "num_frames": clip[0],
        "sampling_rate": clip[1],
        "num_clips": 10,
        "num_crops": 3,
        "short_side": 256,
        "crop_size": 256,
        "val_crop_size": 256,
        "train_crop_size": 224,
        "head": head,
        "average": "prob",
        "mean": [0.45, 0.45, 0.45],
        "std": [0.225, 0.225, 0.225],
        **arguments,
    }
