"""From a file, or a name, to a classifier."""

from collections.abc import Sequence
from pathlib import Path

import torch

from gcvideo.inference._checkpoint import read_checkpoint
from gcvideo.inference._classifier import TrainedClassifier


def load(
    path: str | Path,
    *,
    device: str | torch.device | None = None,
    packages: Sequence[str] = ("gcvideo",),
) -> TrainedClassifier:
    """Load a checkpoint of this package, or published weights by name, ready to classify.

    Args:
        path: file written by training, such as ``runs/.../checkpoints/best.ckpt``, by
            ``gcvideo convert``, or by ``gcvideo export`` for OpenVINO (.xml); folder of a run, for its
            best.ckpt, or of ``save_pretrained``; name in ``gcvideo.weights.ZOO``, such as
            "slow_8x8_r50_pytorchvideo", or address on the Hugging Face hub, "hf://NAMESPACE/NAME" or
            "hf://NAMESPACE/NAME@REVISION", whose weights are downloaded on first use.
        device: device of the net; None: a CUDA device if there is one, else the CPU.
        packages: top-level packages that the checkpoint may name; add yours if the net contains a block
            of your own.

    Raises:
        CheckpointError: if the file is absent, damaged or not a gcvideo checkpoint.
        ConstructionError: if it names a function outside ``packages``.
        WeightsError: if published or shared weights cannot be downloaded.
    """
    checkpoint = read_checkpoint(path)
    protocol = checkpoint.build_protocol(packages)
    model = checkpoint.build_model(protocol, packages)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return TrainedClassifier(
        model.to(device),
        classes=checkpoint.classes,
        protocol=protocol,
        config=dict(checkpoint.config),
        source=checkpoint.path,
    )
