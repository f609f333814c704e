"""Export of a trained classifier to a file that runs without this package."""

import copy
import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.export import ExportedProgram

import gcvideo
from gcvideo.data import EvaluationProtocol, read_views
from gcvideo.data.made._demo import render_motion
from gcvideo.inference._classifier import TrainedClassifier
from gcvideo.inference._folding import fold_batch_norms
from gcvideo.models import ClipClassifier

_TOLERANCE = 1e-3
_BATCH_SIZES = (1, 2, 3)
_DEMO_MOTIONS = ("right", "clockwise", "grow")
# Settings of the protocol that the metadata contain.
_PROTOCOL_KEYS = (
    *("name", "num_frames", "sampling_rate", "num_clips", "num_crops", "square_pixels", "by_time"),
    *("short_side", "antialias", "head", "average", "normalization"),
)
# Of the input, by the normalisation of the model.
_FORMULAS = {
    "constants": "(clips / 255 - mean) / std",
    "motion": "m / (s + 1), m = clips - their mean over time, s = root mean square of m in a clip",
}

Write = Callable[[ExportedProgram, dict[str, Any], Path], None]
"""Writes a traced net and its metadata."""
Run = Callable[[Tensor], dict[str, Tensor]]
"""Clips to outputs by name."""


class ExportError(ValueError):
    """A classifier cannot be exported as requested, or its file would give other scores."""


class _ClipScorer(nn.Module):
    """The exported graph: from clips to logits and scores."""

    def __init__(self, model: ClipClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, clips: UInt8[Tensor, "b 3 t h w"]) -> dict[str, Float[Tensor, "b k"]]:
        logits = self.model(clips.unsqueeze(1)).squeeze(1)
        return {"logits": logits, "scores": logits.softmax(-1)}


@torch.no_grad()
def export_classifier(
    classifier: TrainedClassifier,
    path: str | Path,
    *,
    crop_size: int | None = None,
    videos: Sequence[str] = (),
    source: str | None = None,
) -> dict[str, float]:
    """Write a trained classifier as one file that runs without this package, and check the file.

    The graph maps ``clips``, uint8 RGB (b, 3, t, h, w) with any b, to float32 ``logits`` and ``scores``
    (b, k). It includes the normalisation and the protocol's head; batch norms are folded. The file is
    read back and compared with the net on random clips in batches of 1, 2 and 3, on clips of the demo
    set and on ``videos``, and appears under its name only after that.

    Args:
        classifier: classifier loaded from a checkpoint.
        path: file to write: ``.onnx``, or ``.pt2`` for a program of ``torch.export``.
        crop_size: pixels of the square input; None: those of the protocol's single view.
        videos: files whose single views are compared too.
        source: name of the checkpoint for the metadata; None: the classifier's source.

    Returns:
        The largest absolute difference in a logit or score for each group of clips.

    Raises:
        ExportError: for another suffix, a missing package, weights over 2 GB in ONNX, or a
            difference above 1e-3 in a logit or score.
        ValueError: if the crop does not fit the protocol.
        VideoReadError: if a file of ``videos`` cannot be read.
    """
    target = Path(path)
    write, open_graph = graph_format(target)
    view = classifier.protocol.single_view()
    if crop_size is not None:
        view = replace(view, crop_size=crop_size)
    scorer = _ClipScorer(copy.deepcopy(classifier.model).cpu()).eval()
    samples = list(_samples(view, videos))
    # A crop too small for the head must fail before anything is written.
    expected = [scorer(clips) for _, clips in samples]
    # torch.export.save treats weights in another memory format as parts of larger ones.
    folded = cast(Any, fold_batch_norms(scorer)).to(memory_format=torch.contiguous_format)
    # Two clips: torch.export would fix a batch of one as the only size.
    clips = torch.zeros(2, 3, view.num_frames, view.crop_size, view.crop_size, dtype=torch.uint8)
    shapes = {"clips": {0: torch.export.Dim("batch")}}
    program = torch.export.export(folded, (clips,), dynamic_shapes=shapes, strict=False)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names folders of this machine
    metadata = _metadata(classifier, view, source or classifier.source or "")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
        draft = Path(folder) / target.name
        write(program, metadata, draft)
        run = open_graph(draft)
        differences = {
            name: _compare(name, run(clips), wanted, target)
            for (name, clips), wanted in zip(samples, expected, strict=True)
        }
        draft.replace(target)
    return differences


def _metadata(
    classifier: TrainedClassifier, view: EvaluationProtocol, source: str
) -> dict[str, Any]:
    """Classes, input, normalisation and protocol, as plain data."""
    test = classifier.protocol

    def rule(part: object) -> dict[str, Any]:
        return {"rule": type(part).__name__, **vars(part)}

    return {
        "gcvideo_version": gcvideo.__version__,
        "checkpoint": source,
        "classes": list(classifier.classes),
        "input": "clips: uint8 RGB (batch, 3, num_frames, crop_size, crop_size)",
        "normalization": {
            "mean": [round(value, 6) for value in classifier.model.mean.flatten().tolist()],
            "std": [round(value, 6) for value in classifier.model.std.flatten().tolist()],
            "formula": f"{_FORMULAS[classifier.model.normalization]}, inside the graph",
        },
        "protocol": {
            **{key: getattr(test, key) for key in _PROTOCOL_KEYS},
            "sampling": rule(test.sampling),
            "resizing": rule(test.resizing),
            "crops": rule(test.crops),
            "decode_short_side": test.decode_size.pixels,
            "crop_size": view.crop_size,
        },
    }


def _samples(
    view: EvaluationProtocol, videos: Sequence[str]
) -> Iterator[tuple[str, UInt8[Tensor, "b 3 t h w"]]]:
    random = torch.Generator().manual_seed(0)
    shape = (3, view.num_frames, view.crop_size, view.crop_size)
    for size in _BATCH_SIZES:
        clips = torch.randint(0, 256, (size, *shape), dtype=torch.uint8, generator=random)
        yield f"random clips, batch of {size}", clips
    sizes = {"num_frames": view.num_frames, "size": view.crop_size}
    for motion in _DEMO_MOTIONS:
        frames = render_motion(motion, np.random.default_rng(0), **sizes)
        yield f"demo clip '{motion}'", torch.from_numpy(frames).permute(3, 0, 1, 2)[None]
    for video in videos:
        yield video, read_views(video, view)


def _compare(
    clips: str, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], target: Path
) -> float:
    difference = float(torch.stack([(found[n] - wanted[n]).abs().max() for n in wanted]).max())
    if not difference <= _TOLERANCE:  # also true for NaN
        raise ExportError(
            f"the exported net differs from the trained one by {difference:.1e} on {clips}, more than "
            f"{_TOLERANCE:.0e}; '{target}' was not written. A block of your own may compute something "
            "that the format does not support: try the other format (.onnx, .pt2), and report it"
        )
    return difference


def graph_format(path: Path) -> tuple[Write, Callable[[Path], Run]]:
    """How a file of that suffix is written, and opened to run; ExportError if that is not possible."""
    if path.suffix == ".pt2":
        return _write_program, lambda path: torch.export.load(path).module()
    if path.suffix != ".onnx":
        raise ExportError(f"output is '{path}'; give a file ending in .onnx or .pt2")
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            import_module(package)
        except ModuleNotFoundError as error:
            raise ExportError(
                f"an .onnx file needs the package {package}, which is not installed; "
                "pip install onnx onnxscript onnxruntime, or give an output ending in .pt2"
            ) from error
    return _write_onnx, _open_onnx


def _write_program(program: ExportedProgram, metadata: dict[str, Any], path: Path) -> None:
    torch.export.save(program, path, extra_files={"gcvideo.json": _json(metadata)})


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
    import onnxruntime  # noqa: PLC0415 - not in a plain installation

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
