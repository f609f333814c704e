"""A net in the form of a file."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from gcvideo.inference.engine import _openvino
from gcvideo.inference.engine._int8 import quantized_graph
from gcvideo.inference.engine._tracing import ClipScorer, Run, trace
from gcvideo.models import ClipClassifier


@dataclass(frozen=True)
class Form:
    """How a net is written, and what the file must compute.

    Args:
        write: function of the metadata and the path of a file in an empty folder.
        open: function of the path that makes the file ready to compute.
        reference: what it must compute; None: what the net computes.
    """

    write: Callable[[dict[str, Any], Path], None]
    open: Callable[[Path], Run]
    reference: Run | None = None


def openvino_form(
    model: ClipClassifier,
    scorer: ClipScorer,
    size: tuple[int, int, int],
    precision: str,
    clips: Sequence[UInt8[Tensor, "3 t h w"]],
    min_agreement: float | None,
    product: Mapping[str, Any],
) -> Form:
    """The form of a net for OpenVINO; of a type of floats, the file has only the name.

    Args:
        model: net with normalisation.
        scorer: its graph.
        size: frames, height and width of the clips.
        precision: "float32", "bfloat16", "float16" or "int8".
        clips: for the calibration of int8.
        min_agreement: of int8, as for :func:`~gcvideo.inference.engine._int8.quantized_graph`.
        product: classes and configuration, from which the file can be loaded.
    """
    if precision == "int8":
        graph, engine = quantized_graph(model, clips, min_agreement)
    else:
        graph = _openvino.translate(trace(scorer, *size))
        engine = {"precision": precision, "clip_size": list(size)}

    def prepared(graph: Any) -> Run:
        return _openvino.prepare(
            graph,
            # A machine may write for another one that computes in bfloat16.
            "int8" if precision == "int8" else "float32",
            num_threads=torch.get_num_threads(),
            num_streams=1,
        )

    def write(metadata: dict[str, Any], path: Path) -> None:
        _openvino.write(graph, {**metadata, "checkpoint": product, "engine": engine}, path)

    return Form(
        write,
        lambda path: prepared(_openvino.read(path)[0]),
        prepared(graph) if precision == "int8" else None,
    )


def to_json(metadata: Mapping[str, Any]) -> str:
    """A text of plain data, with what is not plain as its name."""
    text = json.dumps(metadata, ensure_ascii=False, default=str)
    return text.encode("utf-8", "backslashreplace").decode()
