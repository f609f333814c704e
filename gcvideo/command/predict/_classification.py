"""Classification of the videos of a prediction: as a whole, in windows, or while they arrive."""

from collections.abc import Generator
from contextlib import closing
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo.command.predict._result import Predictions, Timeline, warn_of_gaps
from gcvideo.data import VideoReadError, stream_frames
from gcvideo.data._parallel import with_progress
from gcvideo.inference import (
    LiveScores,
    TrainedClassifier,
    WindowScores,
    classify_live,
    classify_videos,
    classify_windows,
    merge_segments,
)
from gcvideo.inference._seconds_bar import format_seconds

_CONSOLE = Console()
_DEFAULT_STRIDE_SECONDS = 1.0


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


def classify_stream(
    cfg: DictConfig, source: str, classifier: TrainedClassifier, predictions: Predictions
) -> None:
    """Print each window when it is complete; at the end of the source, or at Ctrl-C, keep them all.

    The windows are also kept if the source breaks off, which counts as a failure.
    """
    seen: list[LiveScores] = []
    stride_seconds = cfg.stride_seconds or _DEFAULT_STRIDE_SECONDS
    with stream_frames(
        source,
        format=cfg.format,
        short_side=classifier.protocol.decode_size,
        square_pixels=classifier.protocol.square_pixels,
    ) as frames:
        results = classify_live(
            classifier, frames, stride_seconds=stride_seconds, num_crops=cfg.num_crops
        )
        try:
            with predictions.catching(source):
                for result in results:
                    ranking = classifier.rank(result.scores, cfg.top_k)
                    classes = ", ".join(f"{p.name} {p.score:.2f}" for p in ranking)
                    start, end = map(format_seconds, (result.start_seconds, result.end_seconds))
                    _CONSOLE.print(f"{start} - {end}  {classes}", soft_wrap=True)
                    seen.append(result)
                    if len(seen) == 2:
                        warn_of_gaps(stride_seconds, seen[0].end_seconds - seen[0].start_seconds)
        except KeyboardInterrupt:
            _CONSOLE.print("interrupted")
    if seen:
        windows = WindowScores(
            np.array([result.start_seconds for result in seen]),
            np.array([result.end_seconds for result in seen]),
            torch.stack([result.scores for result in seen]),
        )
        predictions.timelines[source] = timeline_of(cfg, classifier, windows)


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
