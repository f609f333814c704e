import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

import gcvideo
from gcvideo._construction import construct
from gcvideo._hint import command, override
from gcvideo._invocation import command_line
from gcvideo.data import EvaluationProtocol
from gcvideo.models import ClipClassifier, Head

_KEY = "gcvideo"
_PREFIX = "model."
BEST = "best.ckpt"


class CheckpointError(ValueError):
    """A file that is no checkpoint of this package, or one that cannot be rebuilt."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: weights and the plain data that rebuild the model around them.

    Args:
        path: of the file.
        config: resolved configuration of the run.
        classes: names in label order.
        protocol: description of the evaluation protocol.
        state_dict: of the :class:`~gcvideo.models.ClipClassifier`.
    """

    path: str
    config: Mapping[str, Any]
    classes: tuple[str, ...]
    protocol: Mapping[str, Any]
    state_dict: Mapping[str, Tensor]

    def build_protocol(self, packages: Sequence[str] = ("gcvideo",)) -> EvaluationProtocol:
        return cast(EvaluationProtocol, construct(self.protocol, packages=packages))

    def build_model(
        self, protocol: EvaluationProtocol, packages: Sequence[str] = ("gcvideo",)
    ) -> ClipClassifier:
        """The model with its weights, in evaluation mode, its head set to the protocol's mode."""
        net = construct(self.config["model"]["net"], packages=packages)
        model = ClipClassifier(net, mean=protocol.mean, std=protocol.std)
        model.load_state_dict(dict(self.state_dict))
        configure_head(model, protocol)
        return model.eval()


def checkpoint_file(path: str | Path) -> Path:
    """The file itself; of the folder of a run, or of its checkpoints, the one of the best epoch.

    Raises:
        CheckpointError: for a folder without a best.ckpt, naming what is there.
    """
    given = Path(path)
    if not given.is_dir():
        return given
    folders = (given / "checkpoints", given)
    for folder in folders:
        if (folder / BEST).is_file():
            return folder / BEST
    others = sorted(file for folder in folders for file in folder.glob("[!.]*.ckpt"))
    if not others:
        raise CheckpointError(
            f"the folder '{path}' has no checkpoints; give the folder of a run, or a file"
        )
    # Not taken by itself: weights of the last epoch are no stand-in for those of the best.
    raise CheckpointError(
        f"the folder '{path}' has no {BEST}, only {', '.join(file.name for file in others)}; name one of "
        f"them, such as {command(override('checkpoint', others[0]))}"
    )


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint written by training or by conversion; the file cannot run code.

    Args:
        path: of the file, or of a folder as for :func:`checkpoint_file`.

    Raises:
        CheckpointError: if the file is absent, unreadable or not one of ours.
    """
    file = checkpoint_file(path)
    if not file.is_file():
        raise CheckpointError(
            f"no checkpoint at '{path}'; training writes RUN_FOLDER/checkpoints/best.ckpt"
        )
    try:
        product, tensors = _read(file)
    except Exception as error:
        raise CheckpointError(
            f"'{path}' cannot be read as a checkpoint ({type(error).__name__}); it is damaged or was "
            "made by another program"
        ) from error
    if not isinstance(product, dict) or "classes" not in product:
        converted = f"{command_line('convert')} {command(override('source', file))}"
        weights = command("weights=checkpoint", override("weights.path", file))
        raise CheckpointError(
            f"'{path}' is not a gcvideo checkpoint: it has weights but neither configuration nor class "
            f"names; make it one with `{converted} output=NEW.safetensors`, or train from it with "
            f"`{weights}`"
        )
    return Checkpoint(
        path=str(file),
        config=product["config"],
        classes=tuple(product["classes"]),
        protocol=product["config"]["protocol"],
        state_dict=tensors,
    )


def _read(file: Path) -> tuple[Any, dict[str, Tensor]]:
    if file.suffix == ".safetensors":
        with safe_open(file, "pt") as content:
            product = (content.metadata() or {}).get(_KEY)
            tensors = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118
        return None if product is None else json.loads(product), tensors
    content = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(content, dict) or _KEY not in content:
        return None, {}
    state = content["state_dict"]
    tensors = {k.removeprefix(_PREFIX): v for k, v in state.items() if k.startswith(_PREFIX)}
    return content[_KEY], tensors


def write_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint as one safetensors file: weights, configuration, classes and protocol."""
    product = {
        "version": gcvideo.__version__,
        "classes": list(checkpoint.classes),
        "config": {**checkpoint.config, "protocol": checkpoint.protocol},
    }
    write_tensors(path, checkpoint.state_dict, {_KEY: json.dumps(product)})


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file, which appears under its name once it is complete."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.draft")
    # Not save_file, whose files are readable by their owner alone.
    draft.write_bytes(save({k: v.contiguous() for k, v in tensors.items()}, metadata))
    draft.replace(file)


def configure_head(model: ClipClassifier, protocol: EvaluationProtocol) -> None:
    """Set the head's pooling to that of the protocol."""
    for module in model.modules():
        if isinstance(module, Head):
            module.configure(cast(Any, protocol.head), protocol.head_pool_size)
