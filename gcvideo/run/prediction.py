import glob
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.progress import track

from gcvideo.console import Console
from gcvideo.data import VideoReadError, class_folder
from gcvideo.data.stream import is_stream
from gcvideo.inference import TrainedClassifier, load
from gcvideo.inference.batch import classify_videos
from gcvideo.inference.overlay import Ranking, annotate_video
from gcvideo.inference.segment import merge_segments
from gcvideo.inference.sliding_window import classify_windows
from gcvideo.inference.view_sheet import write_view_sheet
from gcvideo.models import keep_freed_memory, precision_type
from gcvideo.run.live_prediction import predict_live
from gcvideo.run.prediction_output import (
    Predictions,
    Timeline,
    check_output,
    show_predictions,
    write_predictions,
)

_CONSOLE = Console()
_NUM_DRAWN = 3


def predict(cfg: DictConfig) -> Predictions:
    """Classify videos or a live source, as configured by ``conf/predict.yaml``.

    Readable files are all classified and written, whatever becomes of the others.

    Raises:
        FileNotFoundError: if nothing matches ``video``.
        ValueError: if ``output`` is neither json nor csv, ``precision`` is unknown, a live source is
            not alone, or options do not go together.
        VideoReadError: if a live source cannot be opened or breaks off.
    """
    output = check_output(cfg.output)
    sources = [str(cfg.video)] if isinstance(cfg.video, str | int) else list(map(str, cfg.video))
    streams = [source for source in sources if is_stream(source, cfg.format)]
    if streams and len(sources) > 1:
        raise ValueError(
            f"'{streams[0]}' is read as it comes, so it cannot stand beside other videos; give it alone"
        )
    if streams:
        cfg.video = streams[0]
        classifier = _load(cfg)
        predictions = predict_live(cfg, classifier)
    else:
        videos = list(dict.fromkeys(video for source in sources for video in find_videos(source)))
        classifier = _load(cfg)
        predictions = _predict_files(cfg, classifier, videos)
    predictions.checkpoint = classifier.source
    show_predictions(predictions)
    if output is not None:
        write_predictions(output, predictions, precision=cfg.precision)
    return predictions


def find_videos(pattern: str) -> list[str]:
    """Videos that a file name, a folder (searched in depth) or a glob stands for, sorted.

    Raises:
        FileNotFoundError: if there is none.
    """
    path = Path(pattern)
    if path.is_file():
        return [pattern]
    if path.is_dir():
        found = [path / below for below in class_folder.find_videos(path).paths]
    else:
        # Path.glob takes no absolute pattern.
        matches = glob.glob(pattern, recursive=True)  # noqa: PTH207
        found = [p for p in map(Path, matches) if p.is_file()]
    if not found:
        raise FileNotFoundError(
            f"no video at '{pattern}'; give a file, a folder with videos, a quoted glob like "
            "'clips/*.mp4', or the URL of a stream"
        )
    return sorted(str(p) for p in found)


def _load(cfg: DictConfig) -> TrainedClassifier:
    dtype = precision_type(cfg.precision)
    classifier = load(cfg.checkpoint, device=cfg.device, packages=list(cfg.packages))
    if classifier.device.type == "cpu":
        keep_freed_memory()
    _CONSOLE.print(f"checkpoint {classifier.source}\nprecision  {cfg.precision}", soft_wrap=True)
    return classifier.for_inference(compile=cfg.compile, dtype=dtype)


def _predict_files(
    cfg: DictConfig, classifier: TrainedClassifier, videos: Sequence[str]
) -> Predictions:
    predictions = Predictions()
    if cfg.stride_seconds is None:
        _classify_whole(cfg, classifier, videos, predictions)
    else:
        _classify_windows(cfg, classifier, videos, predictions)
    readable = [video for video in videos if video not in predictions.failures]
    if cfg.annotated is not None:
        for video in track(readable, "Annotating", console=_CONSOLE, disable=len(readable) == 1):
            rankings = _drawn(predictions, video)
            target = _target(cfg.annotated, video, videos, ".mp4")
            _try(predictions, video, lambda v=video, r=rankings, t=target: annotate_video(v, t, r))
    if cfg.contact_sheets is not None:
        protocol = classifier.protocol.for_prediction(cfg.num_clips, cfg.num_crops)
        for video in readable:
            target = _target(cfg.contact_sheets, video, videos, ".png")
            _try(predictions, video, lambda v=video, t=target: write_view_sheet(t, v, protocol))
    return predictions


def _classify_whole(
    cfg: DictConfig,
    classifier: TrainedClassifier,
    videos: Sequence[str],
    predictions: Predictions,
) -> None:
    if len(videos) == 1:
        # There is nothing to share among cores but the operators of the net.
        def classify() -> None:
            views = {"num_clips": cfg.num_clips, "num_crops": cfg.num_crops}
            ranking = classifier.classify(videos[0], cfg.top_k, **views)
            predictions.rankings[videos[0]] = ranking

        _try(predictions, videos[0], classify)
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
    # They come as they finish.
    for index, result in sorted(results, key=lambda indexed: indexed[0]):
        if isinstance(result, VideoReadError):
            predictions.failures[videos[index]] = str(result)
        else:
            predictions.rankings[videos[index]] = classifier.rank(result, cfg.top_k)


def _classify_windows(
    cfg: DictConfig,
    classifier: TrainedClassifier,
    videos: Sequence[str],
    predictions: Predictions,
) -> None:
    if cfg.num_clips != 1:
        raise ValueError(
            f"num_clips is {cfg.num_clips}, but with stride_seconds every window is one clip; leave "
            "num_clips out"
        )

    def classify(video: str) -> None:
        windows = classify_windows(
            classifier,
            video,
            stride_seconds=cfg.stride_seconds,
            num_crops=cfg.num_crops,
            batch_size=cfg.batch_size or 8,
        )
        segments = merge_segments(windows, classifier.classes, threshold=cfg.threshold)
        best = [classifier.rank(scores, cfg.top_k) for scores in windows.scores]
        predictions.timelines[video] = Timeline(windows, best, segments)

    for video in track(videos, "Classifying", console=_CONSOLE, disable=len(videos) == 1):
        _try(predictions, video, lambda v=video: classify(v))


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
