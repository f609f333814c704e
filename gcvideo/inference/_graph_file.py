"""The file formats of exported nets: how they are written, and how they are run."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

Run = Callable[[Tensor], dict[str, Tensor]]
"""Clips to outputs by name."""


class ExportError(ValueError):
    """A classifier cannot be exported as requested, or its file would give other scores."""


@dataclass(frozen=True)
class GraphFormat:
    """How a traced net and its metadata are written to a file, and how the file is opened to run."""

    write: Callable[[ExportedProgram, dict[str, Any], Path], None]
    open: Callable[[Path], Run]
    packages: tuple[str, ...] = ()  # in addition to those of a plain installation


def graph_format(path: Path) -> GraphFormat:
    """The format for the suffix of a file, once its packages are known to be installed."""
    if path.suffix not in _FORMATS:
        raise ExportError(f"output is '{path}'; give a file ending in .onnx or .pt2")
    found = _FORMATS[path.suffix]
    for package in found.packages:
        _import(package)
    return found


def _import(package: str) -> ModuleType:
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise ExportError(
            f"an .onnx file needs the package {package}, which is not installed; "
            "pip install onnx onnxscript onnxruntime, or give an output ending in .pt2"
        ) from error


def _write_onnx(program: ExportedProgram, metadata: dict[str, Any], path: Path) -> None:
    # They log what their optimizer does with each operator.
    for name in ("onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    exported: Any = torch.onnx.export(
        program.run_decompositions(_decompositions()),
        (),
        dynamo=True,
        dynamic_shapes={"clips": {0: "batch"}},
        input_names=["clips"],
        output_names=["logits", "scores"],
        verbose=False,
    )
    exported.model.metadata_props["gcvideo"] = _json(metadata)
    exported.save(path, external_data=False)
    if len(list(path.parent.iterdir())) > 1:
        raise ExportError(
            "the weights are over 2 GB, which an .onnx file cannot hold; give an output ending in .pt2"
        )


def _open_onnx(path: Path) -> Run:
    onnxruntime = _import("onnxruntime")
    options = onnxruntime.SessionOptions()
    # By default, its threads would compete with those of torch.
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(clips: Tensor) -> dict[str, Tensor]:
        outputs = session.run(["logits", "scores"], {"clips": clips.contiguous().numpy()})
        logits, scores = map(torch.from_numpy, outputs)
        return {"logits": logits, "scores": scores}

    return run


def _decompositions() -> dict[Any, Callable[..., Tensor]]:
    """Replacements for operators that ONNX lacks, or sums in the type of their input."""
    aten = torch.ops.aten
    summing = (aten.mean.dim, aten.softmax.int, aten.avg_pool2d.default)
    return {
        # The entries of a sorted row below each value.
        aten.searchsorted.Tensor: lambda rows, values, **_: (
            rows.unsqueeze(-2) < values.unsqueeze(-1)
        ).sum(-1),
        aten.scaled_dot_product_attention.default: _attend,
        **{operator: partial(_in_float32, operator) for operator in summing},
    }


def _in_float32(
    operator: Callable[..., Tensor], x: Tensor, *arguments: object, **named: object
) -> Tensor:
    """An operator on low-precision input with its sums in float32, as in torch."""
    if torch.promote_types(x.dtype, torch.float32) == x.dtype:
        return NotImplemented
    dtypes = (v for v in (*arguments, *named.values()) if isinstance(v, torch.dtype))
    return operator(x.float(), *arguments, **named).to(next(dtypes, x.dtype))


def _attend(
    query: Tensor, key: Tensor, value: Tensor, *_: object, scale: float, **__: object
) -> Tensor:
    """Attention in separate steps, which sum in float32 like the fused kernels."""
    dtype = torch.promote_types(query.dtype, torch.float32)
    weights = (query.to(dtype) @ key.to(dtype).mT * scale).softmax(-1)
    return (weights @ value.to(dtype)).to(value.dtype)


def _json(metadata: dict[str, Any]) -> str:
    text = json.dumps(metadata, ensure_ascii=False, default=str)
    return text.encode("utf-8", "backslashreplace").decode()


_FORMATS = {
    ".onnx": GraphFormat(_write_onnx, _open_onnx, ("onnx", "onnxscript", "onnxruntime")),
    ".pt2": GraphFormat(
        lambda program, metadata, path: torch.export.save(
            program, path, extra_files={"gcvideo.json": _json(metadata)}
        ),
        lambda path: torch.export.load(path).module(),
    ),
}
