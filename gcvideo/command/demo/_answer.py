"""What the page shows of one video: the best classes, when they are seen, and where the net looks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch

from gcvideo.attention._caption import captioned_cam, captioned_maps, clip_times
from gcvideo.attention._grad_cam import grad_cam
from gcvideo.attention._heat_map import HeatMap
from gcvideo.attention._map import attention_maps
from gcvideo.attention._picture import write_attention_animation
from gcvideo.data import VideoReader, VideoReadError, read_views
from gcvideo.inference import (
    Prediction,
    TrainedClassifier,
    classify_windows,
    load,
    merge_segments,
)
from gcvideo.inference._seconds_bar import format_seconds
from gcvideo.inference._sliding_window import window_offsets
from gcvideo.models import InsertedBlock, computing_in, inserted_blocks, keep_freed_memory
from gcvideo.nn import ContextBlock, NonLocalBlock

_NUM_CLASSES = 5
_MIDDLE = ((0.5, 0.5, 0.5),)


@dataclass(frozen=True)
class Drawing:
    """A map of the net beside the frames that it saw, as mp4."""

    caption: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The results of one video.

    Args:
        ranking: the best classes of its single clip, as from ``classify``.
        duration_seconds: length of the video.
        segments: what is seen when; None for a video of less than two windows.
        drawings: maps of the net.
        note: why there is no attention map; "" if there is one.
    """

    ranking: Sequence[Prediction]
    duration_seconds: float
    segments: Sequence[Prediction] | None
    drawings: Sequence[Drawing]
    note: str


@dataclass(frozen=True, kw_only=True)
class AnswerSettings:
    """How videos are answered, by the keys of ``conf/demo.yaml``."""

    checkpoint: str
    device: str
    engine: str | None
    precision: str | None
    packages: Sequence[str]
    num_threads: int
    max_video_seconds: float
    stride_seconds: float
    threshold: float


class Answerer:
    """Answers videos. The net is loaded by the first call, in the process that computes it.

    Raises:
        CheckpointError: if there is no such checkpoint.
        GraphError: as from :meth:`~gcvideo.inference.TrainedClassifier.for_inference`.
        VideoReadError: if the file is not a video, is broken, or is too long.
    """

    def __init__(self, settings: AnswerSettings) -> None:
        self.settings = settings
        self._nets: tuple[TrainedClassifier, TrainedClassifier] | None = None

    def __call__(self, path: str | None) -> Answer | None:
        """The answer to a video; without one, the net is made ready."""
        if self._nets is None:
            self._nets = self._load()
        if path is None:
            return None
        # Maps and Grad-CAM need the net as it was trained.
        trained, ready = self._nets
        with VideoReader(path) as reader:
            duration, fps = reader.info.duration_seconds, reader.info.fps
        longest = self.settings.max_video_seconds
        if duration > longest:
            raise VideoReadError(
                path,
                f"it lasts {format_seconds(duration)}, but may last {format_seconds(longest)}",
                "cut it, or start the demo with a larger max_video_seconds",
            )
        ranking = ready.classify(path, _NUM_CLASSES)
        segments = None
        window = (int(window_offsets(ready.protocol, fps).max()) + 1) / fps
        if duration > 2 * window:
            stride = min(self.settings.stride_seconds, window)  # no time is left out
            windows = classify_windows(ready, path, stride_seconds=stride, progress=False)
            segments = merge_segments(windows, ready.classes, threshold=self.settings.threshold)
        drawings, note = _drawings(trained, path)
        return Answer(
            ranking=ranking,
            duration_seconds=duration,
            segments=segments,
            drawings=drawings,
            note=note,
        )

    def _load(self) -> tuple[TrainedClassifier, TrainedClassifier]:
        s = self.settings
        torch.set_num_threads(s.num_threads)
        trained = load(s.checkpoint, device=s.device, packages=s.packages)
        if trained.device.type == "cpu":
            keep_freed_memory()
        ready = trained.for_inference(engine=cast(Any, s.engine), precision=s.precision)
        return trained, ready


def _drawings(classifier: TrainedClassifier, path: str) -> tuple[list[Drawing], str]:
    """Maps and Grad-CAM for the single clip of a video, and what is to be said if there is no map."""
    if classifier.engine_model is not None:
        return [], (
            f"No maps: the net is an exported file, computed by {classifier.engine}. Start the demo with the "
            "checkpoint that it was made of to see where it looks."
        )
    protocol = classifier.protocol.single_view()
    view = read_views(path, protocol)[0]
    block = _block_with_map(classifier)
    heats: list[HeatMap] = []
    with computing_in(classifier.dtype, classifier.device):
        if block is not None:
            layer = f"{block.stage}.{block.index}"
            maps = attention_maps(classifier.model, view, queries=_MIDDLE, layers=[layer])
            heats += captioned_maps(maps, _MIDDLE, view.shape[1], place=layer)
        cam = grad_cam(classifier.model, view)
    heats.append(captioned_cam(cam, classifier.classes[cam.label]))
    _, pace = clip_times(path, protocol)
    drawings = []
    with TemporaryDirectory(prefix="drawing") as folder:
        for number, heat in enumerate(heats):
            file = Path(folder) / f"{number}.mp4"
            write_attention_animation(
                file, view, [replace(heat, caption="map")], frames_per_second=pace
            )
            drawings.append(Drawing(heat.caption, file.read_bytes()))
    if block is not None:
        return drawings, ""
    return drawings, (
        "No attention map: the net has no non-local block and no context block with attention. Grad-CAM shows "
        "what supports the class."
    )


def _block_with_map(classifier: TrainedClassifier) -> InsertedBlock | None:
    """The last block of res4, or of the net, that weighs positions by their content."""

    def has_map(module: object) -> bool:
        return isinstance(module, NonLocalBlock) or (
            isinstance(module, ContextBlock) and module.mask is not None
        )

    blocks = [block for block in inserted_blocks(classifier.model.net) if has_map(block.module)]
    return next((b for b in reversed(blocks) if b.stage == "res4"), blocks[-1] if blocks else None)
