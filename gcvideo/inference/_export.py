"""Export of a trained classifier to a file that runs without this package."""

import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

import gcvideo
from gcvideo.data import EvaluationProtocol, read_views
from gcvideo.data.made._demo import render_motion
from gcvideo.inference._classifier import TrainedClassifier
from gcvideo.inference._folding import fold_batch_norms
from gcvideo.inference._graph_file import ExportError, graph_format
from gcvideo.models import ClipClassifier

_TOLERANCE = 1e-3
_BATCH_SIZES = (1, 2, 3)
_DEMO_MOTIONS = ("right", "clockwise", "grow")
# Settings of the protocol that the metadata contain.
_PROTOCOL_KEYS = (
    *("name", "num_frames", "sampling_rate", "num_clips", "num_crops", "square_pixels", "by_time"),
    *("short_side", "antialias", "head", "average"),
)


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
    file_format = graph_format(target)
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
        file_format.write(program, metadata, draft)
        run = file_format.open(draft)
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
            "formula": "(clips / 255 - mean) / std, inside the graph",
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
