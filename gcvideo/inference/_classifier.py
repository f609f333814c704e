"""A trained net with its protocol: from a video to scores, rankings and features."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gcvideo.data import EvaluationProtocol
from gcvideo.evaluation import average_views
from gcvideo.inference._feature import feature_maps, features
from gcvideo.inference._model_card import ModelCard
from gcvideo.inference._prediction import Prediction
from gcvideo.inference._video import Video, views_of
from gcvideo.inference.engine._engine import Engine, EngineModel
from gcvideo.models import STAGES, ClipClassifier, Stage, computing_in

# Pixels of all views in a forward pass.
_CPU_PIXELS = 2**20
_GPU_PIXELS = 2**24
_EMPTY_CARD = ModelCard()


class TrainedClassifier:
    """A trained net that classifies videos under the protocol it was trained for.

    A video is a path, the bytes of a file, an open binary file that can seek, or frames as uint8 RGB
    (frames, height, width, 3) at 30 frames per second.

    Args:
        model: net with normalisation, of torch or of another program.
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
        self._num_parameters = sum(parameter.numel() for parameter in model.parameters())
        self.classes = tuple(classes)
        self.protocol = protocol
        self.config = config or {}

    def __repr__(self) -> str:
        own = self.engine_model or self.model.net
        name = self.config.get("model", {}).get("name", type(own).__name__)
        size = f", {self._num_parameters / 1e6:.2f} M parameters" if self._num_parameters else ""
        names = ", ".join(self.classes[:5]) + (", ..." if len(self.classes) > 5 else "")
        by = "" if self.engine == "torch" else f" by {self.engine}"
        lines = [
            f"net       {name}{size}",
            f"classes   {len(self.classes)}: {names}",
            f"protocol  {self.protocol}",
            f"device    {self.device}, {self.precision}{by}",
        ]
        lines = [f"source    {self.source}"] * (self.source is not None) + lines
        return "TrainedClassifier\n  " + "\n  ".join(lines)

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def engine_model(self) -> EngineModel | None:
        """The net, if another program than torch computes it."""
        return self.model if isinstance(self.model, EngineModel) else None

    @property
    def engine(self) -> str:
        """Name of the program that computes the net: "torch", "openvino" or "onnxruntime"."""
        model = self.engine_model
        return "torch" if model is None else model.engine

    @property
    def precision(self) -> str:
        """Name of the type in which convolutions and products are computed."""
        if self.engine_model is not None:
            return self.engine_model.precision
        return str(self.dtype).removeprefix("torch.")

    def for_inference(
        self,
        *,
        engine: Engine | None = None,
        precision: str | None = None,
        calibration: Sequence[Video] = (),
        min_agreement: float | None = None,
        compile: bool = False,
    ) -> "TrainedClassifier":
        """A copy of the classifier in its fastest form, which cannot be trained.

        Batch norms are folded into the layers before them. In torch, convolutions compute the sums and
        ReLUs behind them, on CPUs with weights that are packed for oneDNN, and context blocks pool the
        input of the convolution before them. In float32, the scores are the same up to rounding. The
        copy has no gradients, and its ``state_dict`` lacks packed weights. ``classify_videos`` makes such a
        copy in torch itself; for a single video, making it takes longer than it saves.

        Args:
            engine: "torch", or for CPUs "openvino" (``pip install gcvideo[openvino]``) or "onnxruntime"
                (``gcvideo[export]``), which compute the net after it was checked that they compute the
                same. None: as it is.
            precision: "float32"; "bfloat16" or "float16" for GPUs and processors with such instructions
                (with torch, others emulate them, tens of times slower; ONNX Runtime has float32 alone); or
                "int8" with OpenVINO, see :func:`~gcvideo.inference.quantized_model`. None: as it is.
            calibration: videos for int8: some hundreds of the training, never of a test.
            min_agreement: as for :func:`~gcvideo.inference.quantized_model`.
            compile: whether ``torch.compile`` translates the net at its first clips, which can take
                minutes.

        Raises:
            GraphError: if the engine is not installed, or cannot compute the net in that type.
            ValueError: for an unknown engine, an option that it does not have, or a net that was made for
                inference in another way already.
        """
        from gcvideo.inference._preparation import prepared_copy  # noqa: PLC0415 (it imports this)

        return prepared_copy(
            self,
            engine=engine or self.engine,
            precision=precision or self.precision,
            calibration=calibration,
            min_agreement=min_agreement,
            compile=compile,
        )

    def save_pretrained(self, folder: str | Path, card: ModelCard = _EMPTY_CARD) -> Path:
        """Write the net, its classes and protocol, and a card, as a folder for :func:`load` and the hub.

        Paths and the rest of the training's configuration stay out. Earlier files are replaced.

        Raises:
            CheckpointError: if the configuration does not describe the net, the net was made for inference
                or another engine, or the test of the card is that of another checkpoint.
        """
        from gcvideo.inference._hub import save_pretrained  # noqa: PLC0415 (it imports this)

        return save_pretrained(self, folder, card)

    def push_to_hub(
        self,
        repo: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        revision: str | None = None,
        commit_message: str | None = None,
        card: ModelCard = _EMPTY_CARD,
    ) -> str:
        """Share the files of :meth:`save_pretrained` on the Hugging Face hub, in one commit.

        Returns the address for :func:`load`, "hf://NAMESPACE/NAME@COMMIT"; needs ``gcvideo[hub]``.

        Args:
            repo: repository, "NAMESPACE/NAME", made if it does not exist.
            private: whether a new repository is private; None: as the account has it.
            token: token that may write; None: ``HF_TOKEN``, or that of ``hf auth login``.
            revision: branch, made if it does not exist; None: "main".
            commit_message: None: one with the version of gcvideo.
            card: what only you know about the net.

        Raises:
            CheckpointError: as :meth:`save_pretrained`.
            WeightsError: if the hub refuses, or has it already and not as ``private`` says.
        """
        from gcvideo.inference._hub import Upload  # noqa: PLC0415

        return Upload(repo, private, token, revision, commit_message).push(self, card)

    def classify(
        self, video: Video, top_k: int = 5, *, num_clips: int = 1, num_crops: int = 1
    ) -> list[Prediction]:
        """The most likely classes of a video, at most ``top_k``, best first.

        Args:
            video: path, bytes, open file or frames.
            top_k: length of the ranking.
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
        """The classes with the best scores, best first, with the times given; ValueError if ``top_k`` < 1."""
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
        """One vector for a video: the mean of :func:`~gcvideo.inference.features` over its views.

        It is float32 on the CPU, and not normalised. Arguments as for :meth:`classify`.
        """
        return self.view_features(self._views(video, num_clips, num_crops))[0].mean(0).cpu()

    def view_features(
        self, views: UInt8[Tensor, "n v 3 t s s"], batch_size: int | None = None
    ) -> Float[Tensor, "n v c"]:
        """Features of the views of n videos; device and batch size as for :meth:`logits`."""
        compute = lambda batch: [features(self.model.net, self.model.net_input(batch))]  # noqa: E731
        (vectors,) = self._forward(compute, views, batch_size)
        return vectors

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
            found = feature_maps(self.model.net, self.model.net_input(batch), stages)
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
        return views_of(video, self.protocol.for_prediction(num_clips, num_crops))[None]

    def views_per_pass(self, num_pixels: int) -> int:
        """How many views of so many pixels share a forward pass: more only take memory."""
        pixels = _CPU_PIXELS if self.device.type == "cpu" else _GPU_PIXELS
        return max(1, pixels // num_pixels)
