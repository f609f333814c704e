"""A trained classifier as one file that runs without this package."""

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
from torch.export import ExportedProgram

import gcvideo
from gcvideo.data import EvaluationProtocol, read_views
from gcvideo.data.made._demo import DemoSpec, render_motion
from gcvideo.inference._classifier import TrainedClassifier
from gcvideo.inference._folding import fold_batch_norms
from gcvideo.inference._graph_file import ExportError, graph_format
from gcvideo.models import ClipClassifier

_TOLERANCE = 1e-3
_BATCH_SIZES = (1, 2, 3)
_DEMO_MOTIONS = ("right", "clockwise", "grow")
# Of the protocol, in the metadata of the file.
_PROTOCOL_KEYS = (
    *("name", "num_frames", "sampling_rate", "num_clips", "num_crops", "square_pixels", "by_time"),
    *("short_side", "antialias", "head", "average"),
)


class _ClipScorer(nn.Module):
    """What is exported: clips in, logits and scores out."""

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

    The graph takes ``clips``, uint8 RGB (b, 3, t, h, w) with any b, and gives float32 ``logits`` and
    ``scores`` (b, k); normalisation is inside, batch norms are folded, the head is that of the
    protocol. The file is read back and compared with the net on random clips in batches of 1, 2 and
    3, on clips of the demo set and on ``videos``; only then does it appear under its name.

    Args:
        classifier: classifier as loaded from a checkpoint.
        path: file to write: ``.onnx``, or ``.pt2`` for a program of ``torch.export``.
        crop_size: pixels of the square input; None for that of the protocol's single view.
        videos: files whose single views are compared too.
        source: name of the checkpoint, for the metadata; None for that of the classifier.

    Returns:
        The largest absolute difference in a logit or score, by the clips compared.

    Raises:
        ExportError: for another suffix, a missing package, weights over 2 GB in ONNX, or a
            difference in a logit or score above 1e-3.
        ValueError: for a crop that does not fit the protocol.
        VideoReadError: if a file of ``videos`` cannot be read.
    """
    target = Path(path)
    file_format = graph_format(target)
    view = classifier.protocol.single_view()
    if crop_size is not None:
        view = replace(view, crop_size=crop_size)
    scorer = _ClipScorer(copy.deepcopy(classifier.model).cpu()).eval()
    samples = list(_samples(view, videos))
    # Before anything is written: a crop too small for the head ends here.
    expected = [scorer(clips) for _, clips in samples]
    program = _trace(scorer, view)
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
    """What a user of the file must know, as plain data: classes, input, normalisation, protocol."""
    test = classifier.protocol
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
            "sampling": _rule(test.sampling),
            "resizing": _rule(test.resizing),
            "crops": _rule(test.crops),
            "decode_short_side": test.decode_size.pixels,
            "crop_size": view.crop_size,
        },
    }


def _rule(rule: object) -> dict[str, Any]:
    return {"rule": type(rule).__name__, **vars(rule)}


def _samples(
    view: EvaluationProtocol, videos: Sequence[str]
) -> Iterator[tuple[str, UInt8[Tensor, "b 3 t h w"]]]:
    random = torch.Generator().manual_seed(0)
    shape = (3, view.num_frames, view.crop_size, view.crop_size)
    for size in _BATCH_SIZES:
        clips = torch.randint(0, 256, (size, *shape), dtype=torch.uint8, generator=random)
        yield f"random clips, batch of {size}", clips
    spec = DemoSpec(num_frames=view.num_frames, size=view.crop_size)
    for motion in _DEMO_MOTIONS:
        frames = render_motion(motion, spec, np.random.default_rng(0))
        yield f"demo clip '{motion}'", torch.from_numpy(frames).permute(3, 0, 1, 2)[None]
    for video in videos:
        yield video, read_views(video, view)


def _trace(scorer: _ClipScorer, view: EvaluationProtocol) -> ExportedProgram:
    # torch.export.save takes weights in another memory format for parts of larger ones.
    folded = cast(Any, fold_batch_norms(scorer)).to(memory_format=torch.contiguous_format)
    # Two clips, for a batch of one would be taken for the only size.
    clips = torch.zeros(2, 3, view.num_frames, view.crop_size, view.crop_size, dtype=torch.uint8)
    shapes = {"clips": {0: torch.export.Dim("batch")}}
    program = torch.export.export(folded, (clips,), dynamic_shapes=shapes, strict=False)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # source lines and folders of this machine
    return program


def _compare(
    clips: str, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], target: Path
) -> float:
    difference = float(torch.stack([(found[n] - wanted[n]).abs().max() for n in wanted]).max())
    if not difference <= _TOLERANCE:  # nor is a NaN
        raise ExportError(
            f"the exported net differs from the trained one by {difference:.1e} on {clips}, more than "
            f"{_TOLERANCE:.0e}; '{target}' was not written. A block of your own may compute something "
            "that the format does not have: try the other format (.onnx, .pt2), and report it"
        )
    return difference
