"""Pictures of a prediction: annotated copies of the videos, and sheets of the frames that the net saw."""

import os
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from omegaconf import DictConfig

from gcvideo.command.predict._result import Predictions
from gcvideo.data._parallel import with_progress
from gcvideo.inference import TrainedClassifier, annotate_video
from gcvideo.inference._contact_sheet import write_view_sheet
from gcvideo.inference._overlay import Ranking

_NUM_DRAWN = 3


def draw_files(cfg: DictConfig, classifier: TrainedClassifier, predictions: Predictions) -> bool:
    """Write the requested pictures; False if none are requested."""
    videos = predictions.videos
    readable = [video for video in videos if video not in predictions.failures]
    if cfg.annotated is not None:
        copies = _annotated(cfg.annotated, readable, classifier, predictions)
        for _ in copies if len(videos) == 1 else with_progress(copies, len(readable), "Annotating"):
            pass
    if cfg.contact_sheets is not None:
        protocol = classifier.protocol.for_prediction(cfg.num_clips, cfg.num_crops)
        for video in readable:
            with predictions.catching(video):
                target = _target(cfg.contact_sheets, video, videos, ".png")
                write_view_sheet(target, video, protocol)
    return cfg.annotated is not None or cfg.contact_sheets is not None


def _annotated(
    folder: str, readable: Sequence[str], classifier: TrainedClassifier, predictions: Predictions
) -> Generator[None, None, None]:
    for video in readable:
        with predictions.catching(video):
            annotate_video(
                video,
                _target(folder, video, predictions.videos, ".mp4"),
                _drawn(predictions, video),
                square_pixels=classifier.protocol.square_pixels,
                progress=len(predictions.videos) == 1,
            )
        yield


def _drawn(predictions: Predictions, video: str) -> Callable[[float], Ranking]:
    """The ranking to draw at a time."""
    timeline = predictions.timelines.get(video)
    rankings = [predictions.rankings[video]] if timeline is None else timeline.rankings
    drawn = [[(p.name, p.score) for p in ranking[:_NUM_DRAWN]] for ranking in rankings]
    return lambda seconds: drawn[0 if timeline is None else timeline.windows.nearest(seconds)]


def _target(folder: str, video: str, videos: Sequence[str], suffix: str) -> Path:
    """The file in ``folder`` for a video: in the same subfolder, with a name of its own."""
    root = os.path.commonpath([Path(v).absolute().parent for v in videos])
    relative = Path(video).absolute().relative_to(root)
    name = relative.name if relative.suffix.lower() == suffix else f"{relative.name}{suffix}"
    target = Path(folder) / relative.with_name(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target
