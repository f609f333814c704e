"""A trained net with its protocol: from a video to scores, rankings and features."""

import copy
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gcvideo.data import EvaluationProtocol, evaluation_views, read_views
from gcvideo.data.video._container import BinaryFile
from gcvideo.evaluation import average_views
from gcvideo.inference._checkpoint import read_checkpoint
from gcvideo.inference._feature import feature_maps, features
from gcvideo.inference._folding import for_inference
from gcvideo.models import STAGES, ClipClassifier, Stage, compile_net, computing_in, settle_layout

_Frames = UInt8[np.ndarray, "n h w 3"] | UInt8[Tensor, "n h w 3"]
Video = str | os.PathLike[str] | BinaryFile | bytes | _Frames

# Pixels of all views in a forward pass.
_CPU_PIXELS = 2**20
_GPU_PIXELS = 2**24


@dataclass(frozen=True, repr=False)
class Prediction:
    """One class of a ranking, or the class of a segment of a video.

    Args:
        label: number of the class.
        name: name of the class.
        score: score in [0, 1].
        start_seconds: start of the window or segment; None for a whole video.
        end_seconds: end of the window or segment; None for a whole video.
    """

    label: int
    name: str
    score: float
    start_seconds: float | None = None
    end_seconds: float | None = None

    def __repr__(self) -> str:
        text = f"Prediction({self.name!r}, score={self.score:.3f}, label={self.label}"
        if self.start_seconds is not None and self.end_seconds is not None:
            text += f", {self.start_seconds:.2f} to {self.end_seconds:.2f} s"
        return text + ")"


class TrainedClassifier:
    """A trained net that classifies videos under the protocol it was trained for.

    A video is a path, the bytes of a file, an open binary file that can seek, or frames as uint8 RGB
    (frames, height, width, 3) at 30 frames per second.

    Args:
        model: net with normalisation.
        classes: names in label order.
        protocol: sampling, resize, crops, head and averaging.
        config: resolved configuration of the training.
        dtype: type in which convolutions and products are computed, see
            :func:`~gcvideo.models.computing_in`.
        source: file, or name of published weights, that it was loaded from.

    Attributes:
        is_prepared: whether it comes from :meth:`for_inference`.
    """

    def __init__(
        self,
        model: ClipClassifier,
        *,
        classes: Sequence[str],
        protocol: EvaluationProtocol,
        config: dict[str, Any] | None = None,
        dtype: torch.dtype = torch.float32,
        source: str | None = None,
    ) -> None:
        self.model = model
        self.source = source
        self.dtype = dtype
        self.is_prepared = False
        self.classes = tuple(classes)
        self.protocol = protocol
        self.config = config or {}

    def __repr__(self) -> str:
        name = self.config.get("model", {}).get("name", type(self.model.net).__name__)
        millions = sum(parameter.numel() for parameter in self.model.parameters()) / 1e6
        names = ", ".join(self.classes[:5]) + (", ..." if len(self.classes) > 5 else "")
        lines = [
            f"net       {name}, {millions:.2f} M parameters",
            f"classes   {len(self.classes)}: {names}",
            f"protocol  {self.protocol}",
            f"device    {self.device}, {str(self.dtype).removeprefix('torch.')}",
        ]
        if self.source is not None:
            lines.insert(0, f"source    {self.source}")
        return "TrainedClassifier\n  " + "\n  ".join(lines)

    @property
    def device(self) -> torch.device:
        return self.model.mean.device

    def for_inference(
        self, *, compile: bool = False, dtype: torch.dtype = torch.float32
    ) -> "TrainedClassifier":
        """A copy of the classifier in its fastest form, which cannot be trained.

        Batch norms are folded into the layers before them, and ReLUs overwrite their input. In float32,
        the scores are the same up to rounding. ``classify_videos`` makes such a copy itself; for a single
        video, making it takes longer than it saves.

        Args:
            compile: whether ``torch.compile`` translates the net at its first clips, which can take
                minutes.
            dtype: type such as ``torch.bfloat16``, for GPUs and processors with such instructions;
                others emulate them, tens of times slower.
        """
        model = for_inference(self.model)
        settle_layout(model, self.device, dtype)
        if compile:
            compile_net(model.net)
        prepared = copy.copy(self)
        prepared.model, prepared.dtype, prepared.is_prepared = model, dtype, True
        return prepared

    def classify(
        self, video: Video, top_k: int = 5, *, num_clips: int = 1, num_crops: int = 1
    ) -> list[Prediction]:
        """The most likely classes of a video, best first.

        Args:
            video: path, bytes, open file or frames.
            top_k: length of the ranking; at most the number of classes.
            num_clips: clips spread over the video, whose scores are averaged.
            num_crops: 1 (centre) or 3 spatial windows per clip.

        Raises:
            VideoReadError: if the video cannot be read.
            ValueError: if ``top_k`` is less than one or frames have another shape or type.
        """
        scores = self.scores(video, num_clips=num_clips, num_crops=num_crops)
        return self.rank(scores, top_k)

    def rank(
        self,
        scores: Float[Tensor, " k"],
        top_k: int = 5,
        *,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
    ) -> list[Prediction]:
        """The classes with the best scores, best first; the times of their window are passed on.

        Raises:
            ValueError: if ``top_k`` is less than one.
        """
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}; ask for at least 1 class")
        best = scores.topk(min(top_k, len(self.classes)))
        return [
            Prediction(label, self.classes[label], score, start_seconds, end_seconds)
            for label, score in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def scores(
        self, video: Video, *, num_clips: int = 1, num_crops: int = 1
    ) -> Float[Tensor, " k"]:
        """Scores of all classes in [0, 1], on the CPU; arguments as for :meth:`classify`."""
        logits = self.logits(self._views(video, num_clips, num_crops))
        return average_views(logits, cast(Any, self.protocol.average))[0].cpu()

    def features(
        self, video: Video, *, num_clips: int = 1, num_crops: int = 1
    ) -> Float[Tensor, " c"]:
        """One vector for a video: the pooled features before the linear layer, float32 on the CPU.

        It is the mean of :func:`~gcvideo.inference.features` over the views, and is not normalised.
        Arguments as for :meth:`classify`.
        """
        views = self._views(video, num_clips, num_crops)
        (vectors,) = self._forward(lambda x: [features(self.model.net, self._clips(x))], views)
        return vectors[0].mean(0).cpu()

    def feature_maps(
        self,
        video: Video,
        stages: Sequence[Stage] = STAGES[-1:],
        *,
        num_clips: int = 1,
        num_crops: int = 1,
    ) -> dict[Stage, Float[Tensor, "v _ _ _ _"]]:
        """Outputs of stages (res2 to res5) for each view, by stage; float32 on the CPU.

        Other arguments as for :meth:`classify`; errors as from :func:`~gcvideo.inference.feature_maps`.
        """
        views = self._views(video, num_clips, num_crops)
        stages = list(dict.fromkeys(stages))

        def compute(batch: Tensor) -> list[Tensor]:
            found = feature_maps(self.model.net, self._clips(batch), stages)
            return [found[stage] for stage in stages]

        maps = self._forward(compute, views)
        return {stage: found[0].cpu() for stage, found in zip(stages, maps, strict=True)}

    def logits(
        self, views: UInt8[Tensor, "n v 3 t s s"], batch_size: int | None = None
    ) -> Float[Tensor, "n v k"]:
        """Logits of the views of n videos, float32 on the classifier's device; None: a suitable batch size."""
        (logits,) = self._forward(lambda batch: [self.model(batch[None])[0]], views, batch_size)
        return logits

    def _forward(
        self,
        compute: Callable[[Tensor], Sequence[Tensor]],
        views: UInt8[Tensor, "n v 3 t s s"],
        batch_size: int | None = None,
    ) -> list[Float[Tensor, "n v *k"]]:
        """The results of ``compute`` for all views, in batches."""
        batch_size = batch_size or self.views_per_pass(views.shape[3:].numel())
        passes: list[list[Tensor]] = []
        with torch.inference_mode(), computing_in(self.dtype, self.device):
            for batch in views.flatten(0, 1).split(batch_size):
                found = compute(batch.to(self.device, non_blocking=True))
                passes.append([tensor.float() for tensor in found])
        return [
            torch.cat(parts).unflatten(0, views.shape[:2]) for parts in zip(*passes, strict=True)
        ]

    def _views(self, video: Video, num_clips: int, num_crops: int) -> UInt8[Tensor, "1 v 3 t s s"]:
        protocol = self.protocol.for_prediction(num_clips, num_crops)
        if isinstance(video, str | os.PathLike):
            return read_views(os.fspath(video), protocol)[None]
        if not isinstance(video, np.ndarray | Tensor):
            file = io.BytesIO(video) if isinstance(video, bytes) else video
            return read_views(file, protocol)[None]
        frames = np.asarray(video)
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
            raise ValueError(
                f"frames are {frames.dtype} of shape {frames.shape}; pass uint8 RGB of shape "
                "(frames, height, width, 3)"
            )
        clips = protocol.sampling.test(len(frames), 30.0, protocol.spec, protocol.num_clips)
        return evaluation_views(frames, clips, protocol)[None]

    def _clips(self, views: UInt8[Tensor, "b 3 t s s"]) -> Float[Tensor, "b 3 t s s"]:
        clips = self.model.normalize(views)
        return clips.contiguous(memory_format=self.model.memory_format)

    def views_per_pass(self, num_pixels: int) -> int:
        """How many views of so many pixels share a forward pass: more only take memory."""
        pixels = _CPU_PIXELS if self.device.type == "cpu" else _GPU_PIXELS
        return max(1, pixels // num_pixels)


def load(
    path: str | Path,
    *,
    device: str | torch.device | None = None,
    packages: Sequence[str] = ("gcvideo",),
) -> TrainedClassifier:
    """Load a checkpoint of this package, or published weights by name, ready to classify.

    Args:
        path: file written by training, such as ``runs/.../checkpoints/best.ckpt``, or by
            ``gcvideo convert``; folder of a run, for its best.ckpt; or name in ``gcvideo.weights.ZOO``,
            such as "slow_8x8_r50_pytorchvideo", whose weights are downloaded on first use.
        device: device of the net; None: a CUDA device if there is one, else the CPU.
        packages: top-level packages that the checkpoint may name; add yours if the net contains a block
            of your own.

    Raises:
        CheckpointError: if the file is absent, damaged or not a gcvideo checkpoint.
        ConstructionError: if it names a function outside ``packages``.
        WeightsError: if published weights cannot be downloaded.
    """
    checkpoint = read_checkpoint(path)
    protocol = checkpoint.build_protocol(packages)
    model = checkpoint.build_model(protocol, packages)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return TrainedClassifier(
        model.to(device),
        classes=checkpoint.classes,
        protocol=protocol,
        config=dict(checkpoint.config),
        source=checkpoint.path,
    )
