"""Checkpoints: a net with its weights, its classes and the protocol it was trained for."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from safetensors.torch import save
from torch import Tensor, nn

import gcvideo
from gcvideo._construction import construct
from gcvideo._draft import draft_of
from gcvideo._hint import override
from gcvideo._invocation import command_line
from gcvideo.data import EvaluationProtocol
from gcvideo.inference.engine import _openvino
from gcvideo.inference.engine._engine import EngineModel, graph_model
from gcvideo.models import ClipClassifier, Head, Layout
from gcvideo.weights import LoadReport, WeightsError, load_weights, published_weights
from gcvideo.weights._hub import KEY, address_of
from gcvideo.weights._state_file import CheckpointError, read_content
from gcvideo.weights._weight_source import checkpoint_file
from gcvideo.weights._weights import COUNTERS
from gcvideo.weights._zoo import class_names, names_published, published_record

_PREFIX = "model."


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: weights and the plain data that rebuild the model around them.

    Args:
        path: file that it was read from, name of published weights, or address on the hub with its commit.
        config: resolved configuration of the run.
        classes: names in label order.
        protocol: description of the evaluation protocol.
        state_dict: tensors of the :class:`~gcvideo.models.ClipClassifier`.
        report: what became of the tensors of published weights; None for other checkpoints.
        engine: net of another program, in the place of weights; None for weights.
    """

    path: str
    config: Mapping[str, Any]
    classes: tuple[str, ...]
    protocol: Mapping[str, Any]
    state_dict: Mapping[str, Tensor]
    report: LoadReport | None = None
    engine: EngineModel | None = None

    @classmethod
    def of_net(
        cls,
        net: nn.Module,
        *,
        name: str,
        description: Mapping[str, Any],
        classes: Sequence[str],
        protocol: Mapping[str, Any],
        report: LoadReport | None = None,
    ) -> "Checkpoint":
        """A checkpoint of a net trained elsewhere; ``description`` is the plain data that rebuilds the net.

        Raises:
            CheckpointError: if the number of names is not the number of classes of the net.
        """
        if len(classes) != description["num_classes"]:
            raise CheckpointError(
                f"{len(classes)} class names were given, but the net of {name} has "
                f"{description['num_classes']} classes; give one name for each, in label order"
            )
        built = cast(EvaluationProtocol, construct(protocol))
        config = net_config(name, description, protocol, built)
        state = clip_classifier(net, built).state_dict()
        return cls(name, config, tuple(classes), dict(protocol), state, report)

    def build_protocol(self, packages: Sequence[str] = ("gcvideo",)) -> EvaluationProtocol:
        return cast(EvaluationProtocol, construct(self.protocol, packages=packages))

    def build_model(
        self, protocol: EvaluationProtocol, packages: Sequence[str] = ("gcvideo",)
    ) -> ClipClassifier:
        """The model with its weights, in evaluation mode, its head set to the protocol's mode.

        What the net sees is normalised as in its training, whatever the protocol says. A net of another
        program is as it was exported, its head too; CheckpointError for a protocol with another head.
        """
        if self.engine is not None:
            exported = _head_of(self.build_protocol(packages))
            if _head_of(protocol) != exported:
                raise CheckpointError(
                    f"the protocol has the head {_head_of(protocol)}, but '{self.path}' was exported with "
                    f"{exported}; export it again from a checkpoint of that protocol"
                )
            return self.engine
        net = construct(self.config["model"]["net"], packages=packages)
        trained = self.protocol.get("normalization", "constants")
        model = clip_classifier(net, replace(protocol, normalization=trained))
        model.load_state_dict(dict(self.state_dict))
        return model.eval()


def read_checkpoint(source: str | Path) -> Checkpoint:
    """Read a checkpoint from its file, or published weights by their name; no file can run code.

    Args:
        source: file written by training, conversion or export to OpenVINO (.xml); folder of a run, or
            of its checkpoints, for its best.ckpt; name such as "slow_8x8_r50_pytorchvideo", whose weights
            are downloaded on first use; or "hf://NAMESPACE/NAME" or a folder of ``save_pretrained``.

    Raises:
        CheckpointError: if the file is absent, unreadable or not a gcvideo checkpoint, or the published
            weights are those of an image net.
        WeightsError: if no published weights or repository have that name, or they cannot be downloaded.
    """
    if names_published(source):
        name, record = str(source), published_record(str(source))
        if record.classes is None or record.protocol is None:
            raise CheckpointError(
                f"{name!r} are weights of an image net, which knows no actions; start a training from "
                f"them with weights={name}"
            )
        net = cast(nn.Module, construct(record.net))
        return Checkpoint.of_net(
            net,
            name=name,
            description=record.net,
            classes=class_names(record.classes),
            protocol=record.protocol,
            report=load_weights(net, published_weights(name, fresh=COUNTERS)),
        )
    file = checkpoint_file(source)
    if file.suffix == ".xml":
        return _read_engine(file)
    if not file.is_file():
        raise CheckpointError(
            f"no checkpoint at '{source}'; training writes RUN_FOLDER/checkpoints/best.ckpt"
        )
    try:
        content, product = read_content(file)
    except WeightsError as error:
        cause = error.__cause__
        raise CheckpointError(
            f"'{source}' cannot be read as a checkpoint ({type(cause or error).__name__}); it is damaged "
            "or was made by another program"
        ) from cause
    if not isinstance(product, dict) or "classes" not in product:
        converted = f"{command_line('convert')} {shlex.quote(override('source', file))}"
        weights = shlex.join(["weights=checkpoint", override("weights.path", file)])
        raise CheckpointError(
            f"'{source}' is not a gcvideo checkpoint: it has weights but neither configuration nor class "
            f"names; make it one with `{converted} output=NEW.safetensors`, or train from it with "
            f"`{weights}`"
        )
    config = product["config"]
    # A checkpoint of a training has the state of its module, one in safetensors that of the classifier.
    state = content.get("state_dict", {})
    trained = {k.removeprefix(_PREFIX): v for k, v in state.items() if k.startswith(_PREFIX)}
    return Checkpoint(
        path=address_of(source, file),
        config=config,
        classes=tuple(product["classes"]),
        protocol=config["protocol"],
        state_dict=trained or content,
    )


def _read_engine(path: Path) -> Checkpoint:
    """The checkpoint of a net that was exported for OpenVINO."""
    graph, record = _openvino.read(path)
    product = record["checkpoint"]
    if "_target_" not in product["config"]["protocol"]:
        raise CheckpointError(
            f"'{path}' was exported from a classifier without a configuration, so its protocol is not known; "
            "export one that `gcvideo.load` has read"
        )
    return Checkpoint(
        path=str(path),
        config=product["config"],
        classes=tuple(product["classes"]),
        protocol=product["config"]["protocol"],
        state_dict={},
        engine=graph_model(graph, record["engine"]),
    )


def net_config(
    name: str,
    description: Mapping[str, Any],
    protocol: Mapping[str, Any],
    built: EvaluationProtocol,
) -> dict[str, Any]:
    """The configuration that a net needs to be rebuilt and tested, without that of its training."""
    geometry = ("num_clips", "num_crops", "num_frames", "sampling_rate", "short_side")
    return {
        "model": {"name": name, "net": dict(description)},
        "protocol": dict(protocol),
        "crop_size": built.train_crop_size,
        **{key: getattr(built, key) for key in geometry},
    }


def write_checkpoint(path: str | Path, checkpoint: Checkpoint) -> dict[str, Any]:
    """Write a checkpoint as one safetensors file: weights, configuration, classes and protocol.

    Returns:
        All but the weights, which stands in the file's metadata under "gcvideo" as JSON.
    """
    product = {
        "version": gcvideo.__version__,
        "classes": list(checkpoint.classes),
        "config": {**checkpoint.config, "protocol": checkpoint.protocol},
    }
    write_tensors(path, checkpoint.state_dict, {KEY: json.dumps(product)})
    return product


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(file) as draft:
        # Not save_file: only their owner can read the files that it writes.
        draft.write_bytes(save({k: v.contiguous() for k, v in tensors.items()}, metadata))


def clip_classifier(
    net: nn.Module, protocol: EvaluationProtocol, layout: Layout = "auto"
) -> ClipClassifier:
    """A net with the normalisation of a protocol, its head set to the protocol's pooling."""
    model = ClipClassifier(
        net,
        mean=protocol.mean,
        std=protocol.std,
        normalization=cast(Any, protocol.normalization),
        layout=layout,
    )
    configure_head(model, protocol)
    return model


def configure_head(model: nn.Module, protocol: EvaluationProtocol) -> None:
    """Set the head's pooling to that of the protocol."""
    for module in model.modules():
        if isinstance(module, Head):
            module.configure(cast(Any, protocol.head), protocol.head_pool_size)


def _head_of(protocol: EvaluationProtocol) -> str:
    if protocol.head == "adaptive":
        return protocol.head
    return f"{protocol.head} with a window of {protocol.head_pool_size}"
