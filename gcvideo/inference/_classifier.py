"""A trained net with its protocol: from a video to scores, rankings and features."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gcvideo.data import EvaluationProtocol
from gcvideo.evaluation import average_views
from gcvideo.inference._checkpoint import read_checkpoint
from gcvideo.inference._feature import feature_maps, features
from gcvideo.inference._folding import for_inference
from gcvideo.inference._prediction import Prediction
from gcvideo.inference._video import Video, views_of
from gcvideo.models import STAGES, ClipClassifier, Stage, compile_net, computing_in, settle_layout

# Pixels of all views in a forward pass.
_CPU_PIXELS = 2**20
_GPU_PIXELS = 2**24


class TrainedClassifier:
    """A trained net that classifies videos under the protocol it was trained for.

    A video is a path, the bytes of a file, a binary file that is open and can seek, or frames as uint8
    RGB (frames, height, width, 3) at 30 frames per second.

    Args:
        model: net with normalisation.
        classes: names in label order.
        protocol: sampling, resize, crops, head and averaging.
        config: resolved configuration of the run that made it.
        dtype: type in which convolutions and products are computed, see
            :func:`~gcvideo.models.computing_in`.
        source: file, or name of published weights, that it was loaded from.

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

        Batch norms are folded into the layers before them and ReLUs write over what they read. In
        float32 the scores are the same up to rounding. ``classify_videos`` does so by itself; for a
        single video the copy takes longer to make than it saves.

        Args:
            compile: translate the net with ``torch.compile`` at its first clips, which takes up to some
                minutes.
            dtype: type such as ``torch.bfloat16``, for GPUs and for processors that have such
                instructions; others emulate them, tens of times slower.
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
            num_clips: clips spread over the video whose scores are averaged.
            num_crops: 1 (centre) or 3 spatial windows per clip. The protocol's test uses
                ``protocol.num_clips`` x ``protocol.num_crops``.

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
        """The best classes of some scores, best first.

        Args:
            scores: scores of all classes.
            top_k: length of the ranking; at most the number of classes.
            start_seconds: start of the window that they are the scores of, if any.
            end_seconds: end of it.

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
        """Scores in [0, 1] of all classes, on the CPU; arguments as for :meth:`classify`."""
        views = views_of(video, self.protocol.for_prediction(num_clips, num_crops))
        logits = self.logits(views[None])
        return average_views(logits, cast(Any, self.protocol.average))[0].cpu()

    def features(
        self, video: Video, *, num_clips: int = 1, num_crops: int = 1
    ) -> Float[Tensor, " c"]:
        """One vector of a video: the pooled features before the linear layer, float32 on the CPU.

        It is the mean over the views, and over the windows of the ``fcn`` heads, of what
        :func:`~gcvideo.inference.features` gives; its length is not normalised. Arguments as for
        :meth:`classify`.

        Raises:
            ValueError: if the net is not a ResNet of this package.
        """
        views = views_of(video, self.protocol.for_prediction(num_clips, num_crops))[None]
        net = self.model.net
        (vectors,) = self._forward(lambda batch: [features(net, self._clips(batch))], views)
        return vectors[0].mean(0).cpu()

    def feature_maps(
        self,
        video: Video,
        stages: Sequence[Stage] = STAGES[-1:],
        *,
        num_clips: int = 1,
        num_crops: int = 1,
    ) -> dict[Stage, Float[Tensor, "v _ _ _ _"]]:
        """Outputs of stages, out of res2 to res5, for each view, by stage; float32 on the CPU.

        Other arguments as for :meth:`classify`.

        Raises:
            ValueError: if the net is not a ResNet of this package, or for an unknown stage.
        """
        views = views_of(video, self.protocol.for_prediction(num_clips, num_crops))[None]
        stages = list(dict.fromkeys(stages))

        def compute(batch: Tensor) -> list[Tensor]:
            found = feature_maps(self.model.net, self._clips(batch), stages)
            return [found[stage] for stage in stages]

        maps = self._forward(compute, views)
        return {stage: found[0].cpu() for stage, found in zip(stages, maps, strict=True)}

    def logits(
        self, views: UInt8[Tensor, "n v 3 t s s"], batch_size: int | None = None
    ) -> Float[Tensor, "n v k"]:
        """Logits of the views of n videos on the host, float32 on the classifier's device.

        A forward pass takes ``batch_size`` views; None: as many as suit their size.
        """
        (logits,) = self._forward(lambda batch: [self.model(batch[None])[0]], views, batch_size)
        return logits

    def _forward(
        self,
        compute: Callable[[Tensor], Sequence[Tensor]],
        views: UInt8[Tensor, "n v 3 t s s"],
        batch_size: int | None = None,
    ) -> list[Float[Tensor, "n v *k"]]:
        """What is computed from views, in passes of a few."""
        batch_size = batch_size or self.views_per_pass(views.shape[3:].numel())
        passes: list[list[Tensor]] = []
        with torch.inference_mode(), computing_in(self.dtype, self.device):
            for batch in views.flatten(0, 1).split(batch_size):
                found = compute(batch.to(self.device, non_blocking=True))
                passes.append([tensor.float() for tensor in found])
        return [
            torch.cat(parts).unflatten(0, views.shape[:2]) for parts in zip(*passes, strict=True)
        ]

    def _clips(self, views: UInt8[Tensor, "b 3 t s s"]) -> Float[Tensor, "b 3 t s s"]:
        clips = self.model.normalize(views)
        return clips.contiguous(memory_format=self.model.memory_format)

    def views_per_pass(self, num_pixels: int) -> int:
        """Views of so many pixels that share a forward pass: more are not faster, but fill the memory."""
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
