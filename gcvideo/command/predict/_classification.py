"""Classification of the videos of a prediction, as a whole or in windows."""

from collections.abc import Generator
from contextlib import closing
from typing import Any

from omegaconf import DictConfig

from gcvideo.command.predict._live_classification import classify_stream as classify_stream
from gcvideo.command.predict._result import Predictions, Timeline, warn_of_gaps
from gcvideo.data import VideoReadError
from gcvideo.data._parallel import with_progress
from gcvideo.inference import (
    TrainedClassifier,
    WindowScores,
    classify_videos,
    classify_windows,
    merge_segments,
)


def classify_whole(
    cfg: DictConfig, classifier: TrainedClassifier, predictions: Predictions
) -> Generator[None, None, None]:
    """Classify whole videos; yields after each result."""
    videos = predictions.videos
    views: Any = {"num_clips": cfg.num_clips, "num_crops": cfg.num_crops}
    if len(videos) == 1:
        # With one video, only the operators of the net can use several cores.
        with predictions.catching(videos[0]):
            ranking = classifier.classify(videos[0], cfg.top_k, **views)
            predictions.rankings[videos[0]] = ranking
        yield
        return
    results = classify_videos(
        classifier,
        videos,
        batch_size=cfg.batch_size,
        num_workers=cfg.num_workers,
        time_budget_seconds=cfg.time_budget_seconds,
        **views,
    )
    with closing(results):
        for index, result in results:
            if isinstance(result, VideoReadError):
                predictions.failures[videos[index]] = str(result)
            else:
                predictions.rankings[videos[index]] = classifier.rank(result, cfg.top_k)
            yield


def classify_in_windows(
    cfg: DictConfig, classifier: TrainedClassifier, predictions: Predictions
) -> Generator[None, None, None]:
    """Classify videos in windows; yields after each video."""
    videos, stride = predictions.videos, cfg.stride_seconds
    lengths: list[float] = []

    def results() -> Generator[None, None, None]:
        for video in videos:
            with predictions.catching(video):
                windows = classify_windows(
                    classifier,
                    video,
                    stride_seconds=stride,
                    num_crops=cfg.num_crops,
                    batch_size=cfg.batch_size or 8,
                    progress=len(videos) == 1,
                )
                predictions.timelines[video] = timeline_of(cfg, classifier, windows)
                if len(windows.starts) > 1:
                    lengths.append(float(windows.ends[0] - windows.starts[0]))
            yield

    is_one = len(videos) == 1
    yield from results() if is_one else with_progress(results(), len(videos), "Classifying")
    if lengths:
        warn_of_gaps(stride, min(lengths))


def timeline_of(cfg: DictConfig, classifier: TrainedClassifier, windows: WindowScores) -> Timeline:
    """The best classes of each window, and the segments."""
    rankings = [
        classifier.rank(scores, cfg.top_k, start_seconds=start, end_seconds=end)
        for scores, start, end in zip(
            windows.scores, windows.starts.tolist(), windows.ends.tolist(), strict=True
        )
    ]
    segments = merge_segments(windows, classifier.classes, threshold=cfg.threshold)
    return Timeline(windows, rankings, segments)
