"""Export of a trained classifier to a file that runs without this package."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.export import ExportedProgram

import gcvideo
from gcvideo.data import EvaluationProtocol, read_views
from gcvideo.data.made._demo import render_motion
from gcvideo.inference._classifier import TrainedClassifier
from gcvideo.inference.engine._engine import Precision
from gcvideo.inference.engine._form import Form, openvino_form, to_json
from gcvideo.inference.engine._int8 import check_control
from gcvideo.inference.engine._onnx import open_onnx, require_onnxruntime, write_onnx
from gcvideo.inference.engine._tracing import GraphError, scorer_of, trace
from gcvideo.nn._choice import check_choice

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


@torch.no_grad()
def export_classifier(
    classifier: TrainedClassifier,
    path: str | Path,
    *,
    precision: str = "float32",
    calibration: Sequence[str] = (),
    min_agreement: float | None = None,
    crop_size: int | None = None,
    videos: Sequence[str] = (),
    source: str | None = None,
) -> dict[str, float]:
    """Write a trained classifier as a file that runs without this package, and check the file.

    The graph maps ``clips``, uint8 RGB (b, 3, t, h, w) with any b, to float32 ``logits`` and ``scores``
    (b, k). It includes the normalisation and the protocol's head; batch norms are folded. The file is
    read back and compared with the net on random clips in batches of 1, 2 and 3, on clips of the demo
    set and on ``videos``, and appears under its name only after that.

    A net for OpenVINO is two files, NAME.xml and NAME.bin, which :func:`load` reads too. In another type
    than float32 its logits may differ by more, in int8 by what :func:`quantized_model` measures; the files
    are compared with the net as it was before it was written.

    Args:
        classifier: classifier loaded from a checkpoint.
        path: file to write: ``.onnx``, ``.pt2`` for a program of ``torch.export``, or ``.xml`` for OpenVINO.
        precision: type that OpenVINO computes in: "float32", "bfloat16", "float16" or "int8".
        calibration: files for int8: some hundreds of the training, never of a test.
        min_agreement: share of clips that int8 must keep the best class of, by products that return to
            float; None: whatever int8 gives.
        crop_size: pixels of the square input; None: those of the protocol's single view.
        videos: files whose single views are compared too.
        source: name of the checkpoint for the metadata; None: the classifier's source.

    Returns:
        The largest absolute difference in a logit or score for each group of clips.

    Raises:
        GraphError: for another suffix, a missing package, weights over 2 GB in ONNX, or a
            difference above 1e-3 in a logit or score.
        ValueError: if the crop does not fit the protocol.
        VideoReadError: if a file of ``videos`` cannot be read.
    """
    target = Path(path)
    view = classifier.protocol.single_view()
    if crop_size is not None:
        view = replace(view, crop_size=crop_size)
    _check_options(target, precision)
    check_control(precision, min_agreement)
    if classifier.is_prepared or classifier.engine != "torch":
        raise GraphError(
            f"the net has been made for {classifier.engine} already; export the checkpoint that it was made of"
        )
    scorer = scorer_of(classifier.model)
    samples = list(_samples(view, videos))
    # A crop too small for the head must fail before anything is written.
    expected = [scorer(clips) for _, clips in samples]
    metadata = _metadata(classifier, view, source or classifier.source or "")
    if target.suffix == ".xml":
        clips = [read_views(video, view)[0] for video in calibration]
        size = view.num_frames, view.crop_size, view.crop_size
        product = _product(classifier, view)
        form = openvino_form(
            classifier.model, scorer, size, precision, clips, min_agreement, product
        )
    else:
        program = trace(scorer, view.num_frames, view.crop_size, view.crop_size)
        form = _program_form(program) if target.suffix == ".pt2" else _onnx_form(program)
    if form.reference is not None:
        expected = [form.reference(clips) for _, clips in samples]
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
        draft = Path(folder) / target.name
        form.write(metadata, draft)
        run = form.open(draft)
        differences = {
            name: _compare(name, run(clips), wanted, target)
            for (name, clips), wanted in zip(samples, expected, strict=True)
        }
        for file in sorted(draft.parent.iterdir()):  # weights before the .xml that names their hash
            file.replace(target.with_suffix(file.suffix))
    return differences


def _check_options(target: Path, precision: str) -> None:
    check_choice("precision", precision, get_args(Precision))
    if target.suffix not in (".onnx", ".pt2", ".xml"):
        raise GraphError(f"output is '{target}'; give a file ending in .onnx, .pt2 or .xml")
    if target.suffix != ".xml" and precision != "float32":
        raise GraphError(
            f"precision is {precision}, which is for OpenVINO; give an output ending in .xml, or leave "
            "precision out"
        )
    if target.suffix == ".onnx":
        require_onnxruntime()


def _product(classifier: TrainedClassifier, view: EvaluationProtocol) -> dict[str, Any]:
    """What the file is loaded from: its single view has the size of its clips."""
    config = classifier.config
    protocol = {**config.get("protocol", {}), "val_crop_size": view.crop_size}
    return {"classes": list(classifier.classes), "config": {**config, "protocol": protocol}}


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
        raise GraphError(
            f"the exported net differs from the trained one by {difference:.1e} on {clips}, more than "
            f"{_TOLERANCE:.0e}; '{target}' was not written. A block of your own may compute something "
            "that the format does not support: try the other format (.onnx, .pt2), and report it"
        )
    return difference


def _program_form(program: ExportedProgram) -> Form:
    return Form(
        lambda metadata, path: torch.export.save(
            program, path, extra_files={"gcvideo.json": to_json(metadata)}
        ),
        lambda path: torch.export.load(path).module(),
    )


def _onnx_form(program: ExportedProgram) -> Form:
    return Form(
        lambda metadata, path: write_onnx(program, to_json(metadata), path),
        lambda path: open_onnx(path, torch.get_num_threads()),
    )
