import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

StateDict = Mapping[str, Tensor]

BLOCKS = ("*.branch_fusion.*", "*.activation.block.*")
HEAD = ("*.proj.*",)


class WeightsError(ValueError):
    """Weights that cannot be read or do not fit the net."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Where weights come from, how they are converted, and what may be absent.

    Args:
        name: for reports and messages.
        read: gives the source's state dict.
        convert: ``(source, target) -> state dict`` in our naming; pure. ``target`` is the state dict
            of the net to be filled.
        fresh: patterns (fnmatch) of parameters of the net that the source may lack, or hold in
            another shape; they keep their initial values.
        ignored: patterns of converted source keys that the net does not need.
    """

    name: str
    read: Callable[[], StateDict]
    convert: Callable[[StateDict, StateDict], StateDict]
    fresh: Sequence[str] = ()
    ignored: Sequence[str] = ()


@dataclass(frozen=True)
class LoadReport:
    """What loading did with every parameter and buffer of the net and of the source."""

    name: str
    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    ignored: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.name}: {len(self.loaded)} tensors loaded, {len(self.fresh)} fresh, "
            f"{len(self.ignored)} of the source ignored"
        )


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a .safetensors, .pyth, .pth or .ckpt file, unwrapped and without prefixes.

    Files are read with ``weights_only=True``: they cannot run code.

    Raises:
        WeightsError: if the file is absent, unreadable or holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"no weights at '{path}'; check the path")
    try:
        if path.suffix == ".safetensors":
            content = safetensors.torch.load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"'{path}' cannot be read as weights ({type(error).__name__}: {error}); it must be a "
            "torch.save or safetensors file of tensors and plain values"
        ) from error
    for wrapper in ("state_dict", "model_state"):
        if isinstance(content, dict) and wrapper in content:
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"'{path}' holds no state dict; expected tensors by parameter name")
    return {_without_prefix(key): value for key, value in content.items()}


def _without_prefix(key: str) -> str:
    for prefix in ("model.net.", "model."):
        if key.startswith(prefix):
            return key.removeprefix(prefix)
    return key


def checkpoint_weights(path: str, *, fresh: Sequence[str] = BLOCKS + HEAD) -> Weights:
    """Weights of a gcvideo checkpoint or of a PyTorchVideo ResNet, whose naming we share.

    By default inserted blocks and a head with another number of classes start fresh; everything
    else must match. Pass ``fresh=[]`` to demand all.
    """
    return Weights(
        name=str(path),
        read=lambda: read_state_dict(path),
        convert=lambda source, target: dict(source),
        fresh=tuple(fresh),
        ignored=("mean", "std"),
    )


def load_weights(net: nn.Module, weights: Weights) -> LoadReport:
    """Fill a net in place; strict but for the patterns of ``weights``.

    Raises:
        WeightsError: names keys that are missing, unexpected or of another shape.
    """
    target = net.state_dict()
    source = weights.convert(weights.read(), target)
    ignored = [k for k in source if k not in target and _matches(k, weights.ignored)]
    unexpected = [k for k in source if k not in target and k not in ignored]
    fits = {k: v for k, v in source.items() if k in target and v.shape == target[k].shape}
    absent = [k for k in target if k not in fits]
    fresh = [k for k in absent if _matches(k, weights.fresh)]
    problems = {
        "missing": [k for k in absent if k not in source and k not in fresh],
        "of another shape": [k for k in absent if k in source and k not in fresh],
        "unexpected": unexpected,
    }
    if any(problems.values()) or not fits:
        raise WeightsError(_complaint(weights.name, problems, bool(fits)))
    net.load_state_dict(fits, strict=False)
    return LoadReport(weights.name, tuple(fits), tuple(fresh), tuple(ignored))


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)


def _complaint(name: str, problems: Mapping[str, Sequence[str]], any_fits: bool) -> str:
    parts = [
        f"{len(keys)} {kind} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for kind, keys in problems.items()
        if keys
    ]
    if not any_fits:
        parts.append("no tensor fits")
    return (
        f"the weights '{name}' do not fit the net: {'; '.join(parts)}; choose the architecture, depth "
        "and width the weights were made for, or name what may start fresh with weights.fresh"
    )
