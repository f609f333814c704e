"""Files classified, each as a whole or in windows."""

from collections.abc import Generator
from contextlib import closing
from typing import Any

from gcvideo.command.predict._request import PredictRequest
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
    request: PredictRequest, classifier: TrainedClassifier, predictions: Predictions
) -> Generator[None, None, None]:
    """Classify videos, and stop after each result."""
    videos = predictions.videos
    views: Any = {"num_clips": request.num_clips, "num_crops": request.num_crops}
    if len(videos) == 1:
        # There is nothing to share among cores but the operators of the net.
        with predictions.catching(videos[0]):
            ranking = classifier.classify(videos[0], request.top_k, **views)
            predictions.rankings[videos[0]] = ranking
        yield
        return
    results = classify_videos(
        classifier,
        videos,
        batch_size=request.batch_size,
        num_workers=request.num_workers,
        time_budget_seconds=request.time_budget_seconds,
        **views,
    )
    with closing(results):
        for index, result in results:
            if isinstance(result, VideoReadError):
                predictions.failures[videos[index]] = str(result)
            else:
                predictions.rankings[videos[index]] = classifier.rank(result, request.top_k)
            yield


def classify_in_windows(
    request: PredictRequest, classifier: TrainedClassifier, predictions: Predictions
) -> Generator[None, None, None]:
    """Classify videos in windows, and stop after each video."""
    videos, stride = predictions.videos, request.stride_seconds
    assert stride is not None
    lengths: list[float] = []

    def results() -> Generator[None, None, None]:
        for video in videos:
            with predictions.catching(video):
                windows = classify_windows(
                    classifier,
                    video,
                    stride_seconds=stride,
                    num_crops=request.num_crops,
                    batch_size=request.batch_size or 8,
                    progress=len(videos) == 1,
                )
                predictions.timelines[video] = timeline_of(request, classifier, windows)
                if len(windows.starts) > 1:
                    lengths.append(float(windows.ends[0] - windows.starts[0]))
            yield

    is_one = len(videos) == 1
    yield from results() if is_one else with_progress(results(), len(videos), "Classifying")
    if lengths:
        warn_of_gaps(stride, min(lengths))


def timeline_of(
    request: PredictRequest, classifier: TrainedClassifier, windows: WindowScores
) -> Timeline:
    """What windows show: the best classes of each, and segments."""
    rankings = [
        classifier.rank(scores, request.top_k, start_seconds=start, end_seconds=end)
        for scores, start, end in zip(
            windows.scores, windows.starts.tolist(), windows.ends.tolist(), strict=True
        )
    ]
    segments = merge_segments(windows, classifier.classes, threshold=request.threshold)
    return Timeline(windows, rankings, segments)
