from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gcvideo.data import EvaluationProtocol, evaluation_views, read_views
from gcvideo.evaluation import average_views
from gcvideo.inference._checkpoint import read_checkpoint
from gcvideo.inference._folding import for_inference
from gcvideo.models import ClipClassifier, compile_net, computing_in, settle_layout

# Pixels of all views in a forward pass.
_CPU_PIXELS = 2**20
_GPU_PIXELS = 2**24


@dataclass(frozen=True)
class Prediction:
    """One class of a ranking."""

    label: int
    name: str
    score: float


class TrainedClassifier:
    """A trained net that classifies videos under the protocol it was trained for.

    Args:
        model: net with normalisation.
        classes: names in label order.
        protocol: sampling, resize, crops, head and averaging.
        config: resolved configuration of the run that made it.
        dtype: in which convolutions and products are computed, see
            :func:`~gcvideo.models.computing_in`.
        source: the file, or the name of published weights, that it was loaded from.

    Attributes:
        is_prepared: whether :meth:`for_inference` has made it.
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

    @property
    def device(self) -> torch.device:
        return self.model.mean.device

    def for_inference(
        self, *, compile: bool = False, dtype: torch.dtype = torch.float32
    ) -> "TrainedClassifier":
        """A copy of the classifier in its fastest form, which cannot be trained.

        Batch norms are folded into the layers before them and ReLUs write over what they read. In
        float32 the scores are the same up to rounding. ``classify_videos`` does so by itself; for a
        single video the copy takes longer to make than it saves.

        Args:
            compile: translate the net with ``torch.compile`` at its first clips, which takes up to some
                minutes.
            dtype: such as ``torch.bfloat16``, for GPUs and for processors that have such
                instructions; others emulate them, tens of times slower.
        """
        model = for_inference(self.model)
        settle_layout(model, self.device, dtype)
        if compile:
            compile_net(model.net)
        prepared = TrainedClassifier(
            model,
            classes=self.classes,
            protocol=self.protocol,
            config=self.config,
            dtype=dtype,
            source=self.source,
        )
        prepared.is_prepared = True
        return prepared

    def logits(
        self, views: UInt8[Tensor, "n v 3 t s s"], batch_size: int | None = None
    ) -> Float[Tensor, "n v k"]:
        """Logits of views that lie on the host, float32 on the classifier's device.

        Args:
            views: of n videos.
            batch_size: views of one forward pass; None: as many as suit their size.
        """
        batch_size = batch_size or self.views_per_pass(views.shape[3:].numel())
        with torch.inference_mode(), computing_in(self.dtype, self.device):
            logits = [
                self.model(batch[None].to(self.device, non_blocking=True))[0].float()
                for batch in views.flatten(0, 1).split(batch_size)
            ]
        return torch.cat(logits).unflatten(0, views.shape[:2])

    def views_per_pass(self, num_pixels: int) -> int:
        """Views that share a forward pass: more are no faster, but fill the memory.

        Args:
            num_pixels: of a view, all its frames together.
        """
        pixels = _CPU_PIXELS if self.device.type == "cpu" else _GPU_PIXELS
        return max(1, pixels // num_pixels)

    def classify(
        self,
        video: str | Path | UInt8[np.ndarray, "n h w 3"] | UInt8[Tensor, "n h w 3"],
        top_k: int = 5,
        *,
        num_clips: int = 1,
        num_crops: int = 1,
    ) -> list[Prediction]:
        """The most likely classes of a video, best first.

        Args:
            video: path of a file, or its frames as uint8 RGB (frames, height, width, 3) at 30 frames
                per second.
            top_k: length of the ranking; at most the number of classes.
            num_clips: clips spread over the video whose scores are averaged.
            num_crops: 1 (centre) or 3 spatial windows per clip. The protocol's test uses
                ``protocol.num_clips`` x ``protocol.num_crops``.

        Raises:
            VideoReadError: if the file cannot be read.
            ValueError: if ``top_k`` is less than one or frames have another shape or type.
        """
        scores = self.scores(video, num_clips=num_clips, num_crops=num_crops)
        return self.rank(scores, top_k)

    def rank(self, scores: Float[Tensor, " k"], top_k: int = 5) -> list[Prediction]:
        """The best classes of some scores, best first; ValueError if ``top_k`` is less than one."""
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}; ask for at least 1 class")
        best = scores.topk(min(top_k, len(self.classes)))
        return [
            Prediction(label, self.classes[label], score)
            for label, score in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def scores(
        self,
        video: str | Path | UInt8[np.ndarray, "n h w 3"] | UInt8[Tensor, "n h w 3"],
        *,
        num_clips: int = 1,
        num_crops: int = 1,
    ) -> Float[Tensor, " k"]:
        """Scores in [0, 1] of all classes, on the CPU; arguments as for :meth:`classify`."""
        protocol = self.protocol.for_prediction(num_clips, num_crops)
        if isinstance(video, str | Path):
            views = read_views(str(video), protocol)
        else:
            views = _views_of_frames(np.asarray(video), protocol)
        return average_views(self.logits(views[None]), cast(Any, protocol.average))[0].cpu()


def _views_of_frames(frames: np.ndarray, protocol: EvaluationProtocol) -> Tensor:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise ValueError(
            f"frames are {frames.dtype} of shape {frames.shape}; pass uint8 RGB of shape "
            "(frames, height, width, 3)"
        )
    clips = protocol.sampling.test(len(frames), 30.0, protocol.spec, protocol.num_clips)
    return evaluation_views(frames, clips, protocol)


def load(
    path: str | Path,
    *,
    device: str | torch.device | None = None,
    packages: Sequence[str] = ("gcvideo",),
) -> TrainedClassifier:
    """Load a checkpoint of this package, or published weights by name, ready to classify.

    Args:
        path: file written by training, such as ``runs/.../checkpoints/best.ckpt``, or by
            ``gcvideo convert``; the folder of a run, for its best.ckpt; or a name in
            ``gcvideo.weights.ZOO``, such as "slow_8x8_r50_pytorchvideo", whose weights are downloaded on
            first use.
        device: where the net runs; None: a CUDA device if there is one, else the CPU.
        packages: top-level packages that the checkpoint may name; add yours if the net holds a block
            of your own.

    Raises:
        CheckpointError: if the file is absent, damaged or not one of ours.
        ConstructionError: if it names a function outside ``packages``.
        WeightsError: if published weights cannot be had.
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
