"""Traced nets as ONNX graphs."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from gcvideo.inference.engine._tracing import OUTPUTS, GraphError, Run, import_packages

_INSTALL = "pip install gcvideo[export]"


def require_onnxruntime() -> None:
    """Raise GraphError without the packages that compute ONNX graphs of our nets."""
    import_packages("an .onnx graph", ["onnx", "onnxscript", "onnxruntime"], _INSTALL)


def write_onnx(program: ExportedProgram, metadata: str, path: Path) -> None:
    """Write a traced net as an ONNX file with a text beside the graph."""
    require_onnxruntime()
    # They log what their optimizer does with each operator.
    for name in ("onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    exported: Any = torch.onnx.export(
        program.run_decompositions(decompositions()),
        (),
        dynamo=True,
        dynamic_shapes={"clips": {0: "batch"}},
        input_names=["clips"],
        output_names=list(OUTPUTS),
        verbose=False,
    )
    exported.model.metadata_props["gcvideo"] = metadata
    exported.save(path, external_data=False)
    if len(list(path.parent.iterdir())) > 1:
        raise GraphError(
            "the weights are over 2 GB, which an .onnx file cannot hold; give an output ending in .pt2"
        )


def open_onnx(path: Path, num_threads: int) -> Run:
    """The net of a file; each call computes with so many threads, and several may run at once."""
    (onnxruntime,) = import_packages("an .onnx graph", ["onnxruntime"], _INSTALL)
    options = onnxruntime.SessionOptions()
    # By default, its threads would compete with those of torch.
    options.intra_op_num_threads = num_threads
    # They would also look for work for a while after each clip.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(clips: Tensor) -> dict[str, Tensor]:
        outputs = session.run(list(OUTPUTS), {"clips": clips.contiguous().numpy()})
        return dict(zip(OUTPUTS, map(torch.from_numpy, outputs), strict=True))

    return run


def decompositions() -> dict[Any, Callable[..., Tensor]]:
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
