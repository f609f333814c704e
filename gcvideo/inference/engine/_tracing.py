"""Nets as graphs of operators, for other programs to compute."""

import copy
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, cast

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.export import ExportedProgram

from gcvideo.inference._folding import for_inference
from gcvideo.models import ClipClassifier

OUTPUTS = ("logits", "scores")
Run = Callable[[UInt8[Tensor, "b 3 t h w"]], dict[str, Tensor]]
"""Clips to outputs by name."""


class GraphError(ValueError):
    """A net that cannot be given to another program, or that the program computes otherwise than it should."""


def import_packages(purpose: str, names: Sequence[str], install: str) -> list[Any]:
    """Modules that a plain installation lacks; what is imported here reports to nobody.

    ONNX Runtime from 1.29 on Linux asks for a server of its maker when it is imported, and OpenVINO and nncf
    report to Google Analytics, as long as nobody has declined. Those settings count that stand in the
    environment, and a module that was imported elsewhere before is left as it is.

    Raises:
        GraphError: names the first that is missing, what needs it and how to install it.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    # OpenVINO and nncf then take their stub.
    sys.modules.setdefault("openvino_telemetry", cast(Any, None))
    try:
        return [import_module(name) for name in names]
    except ModuleNotFoundError as error:
        raise GraphError(
            f"{purpose} needs the package {error.name}, which is not installed; {install}"
        ) from error


class ClipScorer(nn.Module):
    """The graph that other programs get: from clips to logits and scores."""

    def __init__(self, model: ClipClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, clips: UInt8[Tensor, "b 3 t h w"]) -> dict[str, Float[Tensor, "b k"]]:
        logits = self.model(clips.unsqueeze(1)).squeeze(1)
        return {"logits": logits, "scores": logits.softmax(-1)}


def scorer_of(model: ClipClassifier) -> ClipScorer:
    """A copy of a model on the CPU, in evaluation mode."""
    return ClipScorer(copy.deepcopy(model).cpu()).eval()


@torch.no_grad()
def trace(scorer: ClipScorer, num_frames: int, height: int, width: int) -> ExportedProgram:
    """The graph of a scorer for any number of clips of one size, with its batch norms folded."""
    # torch.export.save treats weights in another memory format as parts of larger ones.
    folded = cast(Any, for_inference(scorer)).to(memory_format=torch.contiguous_format)
    # Two clips: torch.export would fix a batch of one as the only size.
    clips = torch.zeros(2, 3, num_frames, height, width, dtype=torch.uint8)
    shapes = {"clips": {0: torch.export.Dim("batch")}}
    program = torch.export.export(folded, (clips,), dynamic_shapes=shapes, strict=False)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names folders of this machine
    return program
