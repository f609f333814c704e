import os
import signal
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path

from omegaconf import DictConfig
from rich.progress import track

from gcvideo._console import Console
from gcvideo.command._device import choose_device
from gcvideo.command._interruption import Interrupted, interruptible
from gcvideo.command._output_check import check_file, check_folder
from gcvideo.command._video_list import FoundVideos, find_all_videos
from gcvideo.command.predict._live import predict_live
from gcvideo.command.predict._output import (
    Predictions,
    Timeline,
    check_output,
    show_predictions,
    warn_of_gaps,
)
from gcvideo.command.predict._seconds_bar import seconds_bar
from gcvideo.command.predict._writer import PredictionWriter
from gcvideo.data import VideoReadError
from gcvideo.data.video._stream import is_stream
from gcvideo.inference import TrainedClassifier, load
from gcvideo.inference._batch import classify_videos
from gcvideo.inference._overlay import Ranking, annotate_video
from gcvideo.inference._segment import merge_segments
from gcvideo.inference._sliding_window import classify_windows
from gcvideo.inference._view_sheet import write_view_sheet
from gcvideo.models import keep_freed_memory, precision_type

_CONSOLE = Console()
_NUM_DRAWN = 3


def predict(cfg: DictConfig) -> Predictions:
    """Classify videos or a live source, as configured by ``conf/predict.yaml``.

    Readable files are all classified, whatever becomes of the others, and written while they come.

    Raises:
        FileNotFoundError: if nothing matches ``video``.
        ValueError: if ``output`` is neither json nor csv or cannot be written, ``precision`` is unknown,
            a live source is not alone, or options do not go together.
        VideoReadError: if a live source cannot be opened or breaks off.
        Interrupted: after SIGINT or SIGTERM, once what is done has been written; SIGINT is the end of a
            live source like any other.
    """
    output = check_output(cfg.output)
    sources = [str(cfg.video)] if isinstance(cfg.video, str | int) else list(map(str, cfg.video))
    streams = [source for source in sources if is_stream(source, cfg.format)]
    if streams and len(sources) > 1:
        raise ValueError(
            f"'{streams[0]}' is read as it comes, so it cannot stand beside other videos; give it alone"
        )
    found = FoundVideos([], {}) if streams else find_all_videos(sources)
    if output is not None:
        check_file(output, "output")
    if streams:
        cfg.video = streams[0]
        return _predict_stream(cfg, output)
    for key in ("annotated", "contact_sheets"):
        if cfg[key] is not None:
            check_folder(cfg[key], key)
    predictions = Predictions(found.videos, failures=dict(found.missing))
    writer = PredictionWriter(predictions, output, precision=cfg.precision)
    with interruptible():
        with writer.keeping():
            classifier = _load(cfg)
            predictions.checkpoint = classifier.source
            _predict_files(cfg, classifier, predictions, writer)
        show_predictions(predictions)
    return predictions


def _predict_stream(cfg: DictConfig, output: Path | None) -> Predictions:
    with interruptible() as received:
        classifier = _load(cfg)
        predictions = predict_live(cfg, classifier)
        predictions.checkpoint = classifier.source
        PredictionWriter(predictions, output, precision=cfg.precision).finish()
        if signal.SIGTERM in received:
            raise Interrupted(signal.SIGTERM)
    return predictions


def _load(cfg: DictConfig) -> TrainedClassifier:
    dtype = precision_type(cfg.precision)
    classifier = load(cfg.checkpoint, device=choose_device(cfg.device), packages=list(cfg.packages))
    if classifier.device.type == "cpu":
        keep_freed_memory()
    _CONSOLE.print(f"checkpoint {classifier.source}\nprecision  {cfg.precision}", soft_wrap=True)
    return classifier.for_inference(compile=cfg.compile, dtype=dtype)


def _predict_files(
    cfg: DictConfig,
    classifier: TrainedClassifier,
    predictions: Predictions,
    writer: PredictionWriter,
) -> None:
    classify = _classify_whole if cfg.stride_seconds is None else _classify_windows
    with closing(classify(cfg, classifier, predictions)) as results:
        for _ in results:
            writer.keep()
    writer.write()
    if cfg.annotated is not None or cfg.contact_sheets is not None:
        _draw_files(cfg, classifier, predictions)
        writer.write()


def _draw_files(cfg: DictConfig, classifier: TrainedClassifier, predictions: Predictions) -> None:
    videos = predictions.videos
    readable = [video for video in videos if video not in predictions.failures]
    if cfg.annotated is not None:
        for video in track(readable, "Annotating", console=_CONSOLE, disable=len(videos) == 1):
            _try(
                predictions,
                video,
                lambda v=video: _annotate(cfg, classifier, v, videos, predictions),
            )
    if cfg.contact_sheets is not None:
        protocol = classifier.protocol.for_prediction(cfg.num_clips, cfg.num_crops)
        for video in readable:
            target = _target(cfg.contact_sheets, video, videos, ".png")
            _try(predictions, video, lambda v=video, t=target: write_view_sheet(t, v, protocol))


def _classify_whole(
    cfg: DictConfig, classifier: TrainedClassifier, predictions: Predictions
) -> Generator[None, None, None]:
    """Classify, and stop after each result."""
    videos = predictions.videos
    if len(videos) == 1:
        # There is nothing to share among cores but the operators of the net.
        def classify() -> None:
            views = {"num_clips": cfg.num_clips, "num_crops": cfg.num_crops}
            ranking = classifier.classify(videos[0], cfg.top_k, **views)
            predictions.rankings[videos[0]] = ranking

        _try(predictions, videos[0], classify)
        yield
        return
    results = classify_videos(
        classifier,
        videos,
        num_clips=cfg.num_clips,
        num_crops=cfg.num_crops,
        batch_size=cfg.batch_size,
        num_workers=cfg.num_workers,
        time_budget_seconds=cfg.time_budget_seconds,
    )
    with closing(results):
        for index, result in results:
            if isinstance(result, VideoReadError):
                predictions.failures[videos[index]] = str(result)
            else:
                predictions.rankings[videos[index]] = classifier.rank(result, cfg.top_k)
            yield


def _classify_windows(
    cfg: DictConfig, classifier: TrainedClassifier, predictions: Predictions
) -> Generator[None, None, None]:
    """Classify in windows, and stop after each video."""
    videos = predictions.videos
    if cfg.num_clips != 1:
        raise ValueError(
            f"num_clips is {cfg.num_clips}, but with stride_seconds every window is one clip; leave "
            "num_clips out"
        )

    def classify(video: str) -> None:
        with seconds_bar("Classifying", _CONSOLE, disable=len(videos) > 1) as tell:
            windows = classify_windows(
                classifier,
                video,
                stride_seconds=cfg.stride_seconds,
                num_crops=cfg.num_crops,
                batch_size=cfg.batch_size or 8,
                progress=tell,
            )
        segments = merge_segments(windows, classifier.classes, threshold=cfg.threshold)
        best = [classifier.rank(scores, cfg.top_k) for scores in windows.scores]
        predictions.timelines[video] = Timeline(windows, best, segments)

    for video in track(videos, "Classifying", console=_CONSOLE, disable=len(videos) == 1):
        _try(predictions, video, lambda v=video: classify(v))
        yield
    several = (t.windows for t in predictions.timelines.values() if len(t.windows.starts) > 1)
    lengths = [float(windows.ends[0] - windows.starts[0]) for windows in several]
    if lengths:
        warn_of_gaps(cfg.stride_seconds, min(lengths))


def _annotate(
    cfg: DictConfig,
    classifier: TrainedClassifier,
    video: str,
    videos: Sequence[str],
    predictions: Predictions,
) -> None:
    square = classifier.protocol.square_pixels
    rankings, target = _drawn(predictions, video), _target(cfg.annotated, video, videos, ".mp4")
    with seconds_bar("Annotating", _CONSOLE, disable=len(videos) > 1) as tell:
        annotate_video(video, target, rankings, square_pixels=square, progress=tell)


def _drawn(predictions: Predictions, video: str) -> Callable[[float], Ranking]:
    if video not in predictions.timelines:
        ranking = [(p.name, p.score) for p in predictions.rankings[video][:_NUM_DRAWN]]
        return lambda _: ranking
    timeline = predictions.timelines[video]
    drawn = [[(p.name, p.score) for p in ranking[:_NUM_DRAWN]] for ranking in timeline.rankings]
    return lambda seconds: drawn[timeline.windows.nearest(seconds)]


def _try(predictions: Predictions, video: str, work: Callable[[], object]) -> None:
    try:
        work()
    except VideoReadError as error:
        predictions.failures[video] = str(error)


def _target(folder: str, video: str, videos: Sequence[str], suffix: str) -> Path:
    """A file in ``folder`` for a video: same subfolders, and names that cannot meet."""
    root = os.path.commonpath([Path(v).absolute().parent for v in videos])
    relative = Path(video).absolute().relative_to(root)
    name = relative.name if relative.suffix.lower() == suffix else f"{relative.name}{suffix}"
    target = Path(folder) / relative.with_name(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target
