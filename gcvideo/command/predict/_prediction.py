"""The command that classifies videos or a live source."""

import os
import signal
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path

from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo.command._device import choose_device
from gcvideo.command._interruption import Interrupted, interruptible
from gcvideo.command._output_check import check_file, check_folder
from gcvideo.command._video_list import find_all_videos
from gcvideo.command.predict._classification import (
    classify_in_windows,
    classify_stream,
    classify_whole,
)
from gcvideo.command.predict._result import Predictions, show_predictions
from gcvideo.command.predict._writer import PredictionWriter
from gcvideo.data import is_stream
from gcvideo.data._parallel import with_progress
from gcvideo.inference import TrainedClassifier, annotate_video, load
from gcvideo.inference._contact_sheet import write_view_sheet
from gcvideo.inference._overlay import Ranking
from gcvideo.models import keep_freed_memory

_CONSOLE = Console()
_NUM_DRAWN = 3


def predict(cfg: DictConfig) -> Predictions:
    """Classify videos or a live source, as configured by ``conf/predict.yaml``.

    All readable files are classified, even if others fail, and results are written as they come.

    Raises:
        FileNotFoundError: if nothing matches ``video``.
        ValueError: if ``output`` is neither json nor csv or cannot be written, ``precision`` is unknown,
            a live source is combined with other videos, or options contradict each other.
        VideoReadError: if a live source cannot be opened.
        Interrupted: after SIGINT or SIGTERM, when the results so far have been written; for a live
            source, SIGINT is a normal end.
    """
    stream, videos, missing = _settle_sources(cfg)
    predictions = Predictions(videos, failures=missing)
    writer = PredictionWriter(predictions, cfg.output)
    with interruptible() as received:
        if stream is not None:
            classifier = _load(cfg, predictions)
            classify_stream(cfg, stream, classifier, predictions)
            writer.finish()
            if signal.SIGTERM in received:
                raise Interrupted(signal.SIGTERM)
            return predictions
        with writer.keeping():
            classifier = _load(cfg, predictions)
            classify = classify_whole if cfg.stride_seconds is None else classify_in_windows
            with closing(classify(cfg, classifier, predictions)) as results:
                for _ in results:
                    writer.keep()
            writer.write()
            if _draw_files(cfg, classifier, predictions):
                writer.write()
        show_predictions(predictions)
    return predictions


def _settle_sources(cfg: DictConfig) -> tuple[str | None, list[str], dict[str, str]]:
    """The live source, or the videos and what is missing, after a check of the options."""
    if cfg.output is not None and Path(cfg.output).suffix not in (".json", ".csv"):
        raise ValueError(f"output is '{cfg.output}'; give a file ending in .json or .csv")
    sources = [str(cfg.video)] if isinstance(cfg.video, str | int) else list(map(str, cfg.video))
    stream = next((source for source in sources if is_stream(source, cfg.format)), None)
    if stream is not None and len(sources) > 1:
        raise ValueError(
            f"'{stream}' is a live source, which cannot be combined with other videos; give it alone"
        )
    if stream is None and cfg.stride_seconds is not None and cfg.num_clips != 1:
        raise ValueError(
            f"num_clips is {cfg.num_clips}, but with stride_seconds every window is one clip; leave "
            "num_clips out"
        )
    videos, missing = ([], {}) if stream is not None else find_all_videos(sources)
    if cfg.output is not None:
        check_file(cfg.output, "output")
    for key in ("annotated", "contact_sheets"):
        if cfg[key] is None:
            continue
        if stream is not None:
            raise ValueError(
                f"{key} is '{cfg[key]}', but '{stream}' is a live source; leave {key} out, or record the "
                "source to a file first"
            )
        check_folder(cfg[key], key)
    return stream, videos, missing


def _load(cfg: DictConfig, predictions: Predictions) -> TrainedClassifier:
    classifier = load(cfg.checkpoint, device=choose_device(cfg.device), packages=list(cfg.packages))
    predictions.checkpoint = classifier.source
    if classifier.device.type == "cpu":
        keep_freed_memory()
    classifier = classifier.for_inference(
        engine=cfg.engine, precision=cfg.precision, compile=cfg.compile
    )
    predictions.engine, predictions.precision = classifier.engine, classifier.precision
    lines = [f"checkpoint {classifier.source}", f"precision  {classifier.precision}"]
    if classifier.engine != "torch":
        lines.append(f"engine     {classifier.engine}")
    _CONSOLE.print("\n".join(lines), soft_wrap=True)
    return classifier


def _draw_files(cfg: DictConfig, classifier: TrainedClassifier, predictions: Predictions) -> bool:
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
