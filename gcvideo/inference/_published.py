from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from torch import nn

from gcvideo._construction import construct
from gcvideo.data import EvaluationProtocol
from gcvideo.inference._checkpoint import Checkpoint, CheckpointError, read_checkpoint
from gcvideo.models import ClipClassifier
from gcvideo.weights import LoadReport, load_weights, published, published_weights
from gcvideo.weights._class_name import class_names
from gcvideo.weights._weights import COUNTERS


def load_checkpoint(path: str | Path) -> Checkpoint:
    """A checkpoint from its file, or of published weights by their name.

    Raises:
        CheckpointError: if the file is absent, damaged or not one of ours.
        WeightsError: if no published weights have that name, or they cannot be had.
    """
    file = Path(path)
    is_name = not file.suffix and len(file.parts) == 1
    return (
        published_checkpoint(str(path)) if is_name and not file.exists() else read_checkpoint(file)
    )


def published_checkpoint(name: str) -> Checkpoint:
    """Published weights as a checkpoint of this package; downloaded on first use.

    Args:
        name: such as "slow_8x8_r50_pytorchvideo".

    Raises:
        WeightsError: if there are none of that name, or they cannot be had.
        CheckpointError: for weights of images, which know no actions.
    """
    return load_published(name)[0]


def load_published(name: str) -> tuple[Checkpoint, LoadReport]:
    """:func:`published_checkpoint`, and what became of every tensor."""
    record = published(name)
    if record.classes is None or record.protocol is None:
        raise CheckpointError(
            f"{name!r} are weights of an image net: they know no actions; start a training from them "
            f"with weights={name}"
        )
    net = cast(nn.Module, construct(record.net))
    report = load_weights(net, published_weights(name, fresh=COUNTERS))
    checkpoint = make_checkpoint(
        net,
        name=name,
        description=record.net,
        classes=class_names(record.classes),
        protocol=record.protocol,
    )
    return checkpoint, report


def make_checkpoint(
    net: nn.Module,
    *,
    name: str,
    description: Mapping[str, Any],
    classes: Sequence[str],
    protocol: Mapping[str, Any],
) -> Checkpoint:
    """A checkpoint of a net that was not trained here.

    Args:
        net: with its weights.
        name: of the model.
        description: that rebuilds the net.
        classes: names in label order.
        protocol: description of the evaluation protocol.

    Raises:
        CheckpointError: if there are not as many names as the net has classes.
    """
    if len(classes) != description["num_classes"]:
        raise CheckpointError(
            f"{len(classes)} class names were given and the net of {name} knows "
            f"{description['num_classes']} classes; give one name for each, in label order"
        )
    built = cast(EvaluationProtocol, construct(protocol))
    model = ClipClassifier(net, mean=built.mean, std=built.std)
    geometry = ("num_clips", "num_crops", "num_frames", "sampling_rate", "short_side")
    config = {
        "model": {"name": name, "net": dict(description)},
        "protocol": dict(protocol),
        "crop_size": built.train_crop_size,
        **{key: getattr(built, key) for key in geometry},
    }
    return Checkpoint(
        path=name,
        config=config,
        classes=tuple(classes),
        protocol=dict(protocol),
        state_dict=model.state_dict(),
    )
