"""Tensors, configuration and class names in files of weights."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from gcvideo.weights._blob_file import read_blobs

StateDict = Mapping[str, Tensor]

_WRAPPERS = ("state_dict", "model_state", "model")
_HALF = (torch.float16, torch.bfloat16)
_HEAD_BYTES = 1024
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_TORCH_MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # of torch.save before 1.6
_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|\?xml|!--)", re.IGNORECASE)
_GIT_LFS = b"version https://git-lfs.github.com/"
# What mmengine and mmcv store with the weights: best scores as numpy scalars, logged values.
_BESIDE_WEIGHTS = (
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.ndarray",
    "numpy.dtype",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "builtins.getattr",
)


class WeightsError(ValueError):
    """Weights that cannot be read or do not fit the net."""


class CheckpointError(ValueError):
    """A file that is not a checkpoint of this package, or that cannot be rebuilt."""


@dataclass(frozen=True)
class StateFile:
    """The content of a file of weights."""

    tensors: dict[str, Tensor]
    """By parameter name, without wrappers and prefixes; float16 and bfloat16 are now float32."""
    config: str | None
    """Configuration of the run that made the file: PySlowFast's YAML, MMAction2's Python."""
    notes: tuple[str, ...]
    """What was unwrapped, renamed, converted or left out."""
    classes: tuple[str, ...] | None = None
    """Names of the rows of the head, in files of this package."""
    protocol: Mapping[str, Any] | None = None
    """Description of the views that the net was trained for, in files of this package."""


def read_state_file(path: str | Path) -> StateFile:
    """Read weights of gcvideo, PyTorchVideo, PySlowFast, MMAction2 or Caffe2; no file can run code.

    The content determines the format, not the suffix: safetensors, ``torch.save`` old and new, or a
    pickle of Caffe2's blobs.
    """
    path = Path(path)
    notes: list[str] = []
    content, product = read_content(path)
    state = _without_prefixes(path, _unwrapped(path, content, notes), notes)
    product = product if isinstance(product, Mapping) else {}
    classes = product.get("classes")
    return StateFile(
        _in_full_precision(state, notes),
        _config(content),
        tuple(notes),
        None if classes is None else tuple(classes),
        product.get("config", {}).get("protocol"),
    )


def read_content(path: Path) -> tuple[Any, Any]:
    """The content of a file, and what training or conversion by this package stored beside it."""
    head = _head(path)
    try:
        if head.startswith(_ZIP) or head[2:].startswith(_TORCH_MAGIC):
            stand_ins: list[Any] = [(_Inert, name) for name in _BESIDE_WEIGHTS]
            # Opened here, because torch.load would choose the format by the suffix.
            with torch.serialization.safe_globals(stand_ins), path.open("rb") as file:
                content = torch.load(file, map_location="cpu", weights_only=True)
            return content, content.get("gcvideo") if isinstance(content, Mapping) else None
        if head[8:9] == b"{":  # after the length of the header of safetensors
            with safe_open(path, "pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                return tensors, json.loads((file.metadata() or {}).get("gcvideo", "null"))
        if head.startswith(_PICKLE) or path.suffix == ".pkl":
            return {"blobs": read_blobs(path)}, None
    except Exception as error:
        raise WeightsError(_reason(path, error)) from error
    raise WeightsError(
        f"'{path}' cannot be read as weights: it starts with {head[:8]!r}, which is neither a "
        "torch.save, safetensors nor Caffe2 file; check the path, and unpack archives"
    )


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise WeightsError(f"'{path}' is a folder; give the file of weights in it")
    if not path.is_file():
        raise WeightsError(f"no weights at '{path}'; check the path")
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        reason = "it is empty; download or copy it again"
    elif is_web_page(head):
        reason = (
            "it is a web page, such as a login page or a 'not found'; download it again from the "
            "link of the file itself"
        )
    elif head.startswith(_GIT_LFS):
        reason = "it is a Git LFS pointer instead of the file; run `git lfs pull` where it lies"
    else:
        return head
    raise WeightsError(f"'{path}' cannot be read as weights: {reason}")


def is_web_page(head: bytes) -> bool:
    """Whether a file with these first bytes is HTML or XML, which servers send instead of weights."""
    return _PAGE.match(head) is not None


class _Inert:
    """Stands for objects stored with the weights: takes anything and does nothing."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def _reason(path: Path, error: Exception) -> str:
    if forbidden := re.search(r"GLOBAL (\S+)", str(error)):
        return (
            f"'{path}' cannot be read as weights: it refers to '{forbidden[1]}', which could run code and "
            "was not run; if you trust the file, save only model.state_dict() from it and give that"
        )
    message = str(error).partition("\n")[0]
    return (
        f"'{path}' cannot be read as weights ({type(error).__name__}: {message}); it has "
        f"{path.stat().st_size} bytes: if that is too few, download or copy it again; it must be a "
        "file of tensors and plain values"
    )


def _config(content: Any) -> str | None:
    if not isinstance(content, Mapping):
        return None
    meta = content.get("meta")
    meta = meta if isinstance(meta, Mapping) else {}
    candidates = (content.get("cfg"), meta.get("cfg"), meta.get("config"))
    return next((text for text in candidates if isinstance(text, str)), None)


def _unwrapped(path: Path, content: Any, notes: list[str]) -> dict[str, Tensor]:
    if isinstance(content, dict) and isinstance(content.get("blobs"), dict):
        blobs = content["blobs"]
        content = {k: torch.from_numpy(v) for k, v in blobs.items() if isinstance(v, np.ndarray)}
        notes += [f"blob '{k}' is not an array and was left out" for k in blobs if k not in content]
    while wrappers := _wrappers(content):
        if len(wrappers) > 1:
            raise WeightsError(
                f"'{path}' has several state dicts ({', '.join(wrappers)}); save the one that you want "
                "in a file of its own"
            )
        content = content[wrappers[0]]
        notes.append(f"unwrapped from '{wrappers[0]}'")
    if not isinstance(content, dict) or not content:
        raise WeightsError(f"'{path}' has no state dict; expected tensors by parameter name")
    other = [key for key, value in content.items() if not isinstance(value, Tensor)]
    if other:
        raise WeightsError(
            f"'{path}' has no state dict; expected tensors by parameter name, and '{other[0]}' is "
            f"{type(content[other[0]]).__name__}"
        )
    return content


def _wrappers(content: Any) -> list[str]:
    if not isinstance(content, dict):
        return []
    wrappers = [name for name in _WRAPPERS if isinstance(content.get(name), dict)]
    # "model" may also be a description of the net.
    filled = [n for n in wrappers if any(isinstance(v, Tensor) for v in content[n].values())]
    return filled or wrappers


def _without_prefixes(path: Path, state: dict[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    while prefixes := _prefixes(state):
        names = {
            key: next((key.removeprefix(p) for p in prefixes if key.startswith(p)), key)
            for key in state
        }
        if len(set(names.values())) < len(names):
            twice = next(n for n in names.values() if list(names.values()).count(n) > 1)
            keys = " and ".join(f"'{key}'" for key in names if names[key] == twice)
            raise WeightsError(
                f"'{path}' has {keys}, which are one parameter without their prefixes; remove one of them "
                "from the file"
            )
        notes += [
            f"prefix '{prefix}' removed"
            for prefix in prefixes
            if any(key == prefix + name for key, name in names.items())
        ]
        state = {names[key]: tensor for key, tensor in state.items()}
    return state


def _prefixes(state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Prefixes that wrappers of a net (DistributedDataParallel, Lightning) have added to its names."""
    if all(key.startswith("module.") for key in state):
        return ("module.",)
    # "model.net." is ours, and parameters of training may stand beside it.
    if all(k.startswith("model.") for k in state) or any(k.startswith("model.net.") for k in state):
        return ("model.net.", "model.")
    # A checkpoint of ours that was converted to safetensors.
    if {"mean", "std"} <= state.keys() and any(key.startswith("net.blocks.") for key in state):
        return ("net.",)
    return ()


def _in_full_precision(state: Mapping[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    for kind in _HALF:
        if any(tensor.dtype == kind for tensor in state.values()):
            notes.append(f"{str(kind).removeprefix('torch.')} weights were read as float32")
    return {
        key: tensor.float() if tensor.dtype in _HALF else tensor for key, tensor in state.items()
    }
