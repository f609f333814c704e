"""Traced nets as OpenVINO graphs."""

import hashlib
import json
import threading
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.export import ExportedProgram

from gcvideo.inference.engine._onnx import decompositions
from gcvideo.inference.engine._tracing import OUTPUTS, GraphError, Run, import_packages

# What processors call the types, and how a graph is told to compute in them.
_TYPES = {"float32": ("FP32", "f32"), "bfloat16": ("BF16", "bf16"), "float16": ("FP16", "f16")}
_RECORD = "gcvideo"


def openvino() -> Any:
    """The package; GraphError with the remedy without it."""
    return import_packages("openvino", ["openvino"], "pip install gcvideo[openvino]")[0]


def core() -> Any:
    """The core of this process, which lives as long as the process.

    Its CPU plugin gives the thread that loads it a stack for signals, and takes that away when the core
    goes. Where another thread drops the core, the first is left without one, and dies of its next signal:
    of Ctrl-C, or of the end of any process that it has started.
    """
    return _kept_core(openvino())


@cache
def _kept_core(package: Any) -> Any:
    return package.Core()


def translate(program: ExportedProgram) -> Any:
    """The OpenVINO graph of a traced net, with outputs by name."""
    ov, aten = openvino(), torch.ops.aten
    # The only operator of our blocks that it does not translate.
    searching: Any = {aten.searchsorted.Tensor: decompositions()[aten.searchsorted.Tensor]}
    graph = ov.convert_model(program.run_decompositions(searching))
    for output, name in zip(graph.outputs, OUTPUTS, strict=True):
        output.get_tensor().set_names({name})
    return graph


def has_type(precision: str) -> bool:
    """Whether this processor computes in a type of ``torch``."""
    return _TYPES[precision][0] in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def require_type(precision: str) -> None:
    """Raise GraphError unless this processor computes in a type."""
    if not has_type(precision):
        raise GraphError(
            f"precision is {precision}, in which OpenVINO does not compute on this processor; use "
            "precision=float32 or int8"
        )


def prepare(graph: Any, precision: str, *, num_threads: int, num_streams: int) -> Run:
    """A graph made ready to compute on the CPU.

    Args:
        graph: from :func:`translate` or :func:`read`.
        precision: "float32", "bfloat16", "float16", or "int8" for a quantised graph, whose other
            operators compute in bfloat16 where the processor does, else in float32.
        num_threads: threads of all calls together.
        num_streams: calls that compute at the same time.

    Raises:
        GraphError: if the processor does not compute in that type.
    """
    if precision == "int8":
        precision = "bfloat16" if has_type("bfloat16") else "float32"
    require_type(precision)
    settings = {
        "INFERENCE_PRECISION_HINT": _TYPES[precision][1],
        "INFERENCE_NUM_THREADS": num_threads,
        "NUM_STREAMS": num_streams,
    }
    compiled = core().compile_model(graph, "CPU", settings)
    own = threading.local()  # a request computes one batch at a time

    def run(clips: UInt8[Tensor, "b 3 t h w"]) -> dict[str, Tensor]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        found = own.request.infer({0: clips.contiguous().numpy()}, share_inputs=True)
        return {name: torch.from_numpy(found[name].copy()) for name in OUTPUTS}

    return run


def write(graph: Any, record: Mapping[str, Any], path: Path) -> None:
    """Write a graph as NAME.xml, with a record beside it, and NAME.bin; weights keep their type."""
    save = partial(openvino().save_model, graph, path, compress_to_fp16=False)
    save()
    # Read with the weights of another export, it would compute another net in silence.
    graph.set_rt_info(json.dumps({**record, "weights_sha256": _sha256(path)}), _RECORD)
    save()


def read(path: Path) -> tuple[Any, dict[str, Any]]:
    """The graph of a file, and the record that :func:`write` put beside it.

    Raises:
        GraphError: if it cannot be read, has the weights of another export, or was written by another
            program.
    """
    weights = path.with_suffix(".bin")
    for file in (path, weights):
        if not file.is_file():
            raise GraphError(
                f"no file at '{file}'; a net of OpenVINO is '{path.name}' and '{weights.name}'"
            )
    try:
        graph = core().read_model(path)
    except RuntimeError as error:
        raise GraphError(
            f"'{path}' cannot be read as a net of OpenVINO; export it again"
        ) from error
    if not graph.has_rt_info(_RECORD):
        raise GraphError(
            f"'{path}' was written by another program: it has neither classes nor protocol; write it with "
            "`gcvideo export CHECKPOINT NAME.xml`"
        )
    record = json.loads(str(graph.get_rt_info(_RECORD).value))
    if record["weights_sha256"] != _sha256(path):
        raise GraphError(
            f"'{weights}' has not the weights of '{path.name}'; copy both files of one export, or export again"
        )
    return graph, record


def _sha256(path: Path) -> str:
    with path.with_suffix(".bin").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
