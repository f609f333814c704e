"""Classification of the videos of a prediction, as a whole or in windows."""

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any, cast

import numpy as np
from jaxtyping import Int64
from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo._progress import with_progress
from gcvideo.command._video_list import VideoInputs
from gcvideo.command.predict._outcome import Outcome, Timeline
from gcvideo.data import VideoReadError, read_views, run_within
from gcvideo.evaluation import average_views
from gcvideo.inference import (
    Prediction,
    TrainedClassifier,
    WindowScores,
    classify_videos,
    classify_windows,
    merge_segments,
)

_CONSOLE = Console()


def classify(
    cfg: DictConfig,
    classifier: TrainedClassifier,
    inputs: VideoInputs,
    places: Int64[np.ndarray, " n"],
) -> Generator[Outcome, None, None]:
    """The results of the videos at ``places``, as they come."""
    for place in places.tolist():
        if place in inputs.missing:
            yield Outcome(place, inputs.paths[place], inputs.missing[place])
    if inputs.missing:
        places = np.setdiff1d(places, np.array(list(inputs.missing)))
    if not len(places):
        return
    if cfg.stride_seconds is not None:
        work = _classify_in_windows
    else:
        work = _classify_alone if len(inputs.paths) == 1 else _classify_whole
    paths = inputs.paths if len(places) == len(inputs.paths) else inputs.paths.take(places)
    for index, result in work(cfg, classifier, paths):
        yield Outcome(int(places[index]), paths[index], result)


_Result = tuple[int, Sequence[Prediction] | Timeline | str]


def _classify_whole(
    cfg: DictConfig, classifier: TrainedClassifier, videos: Sequence[str]
) -> Generator[_Result, None, None]:
    results = classify_videos(
        classifier,
        videos,
        num_clips=cfg.num_clips,
        num_crops=cfg.num_crops,
        batch_size=cfg.batch_size,
        num_workers=cfg.num_workers,
        time_budget_seconds=cfg.time_budget_seconds,
    )
    top_k = cfg.top_k  # a look into the configuration takes a tenth of a millisecond
    with closing(results):
        for index, result in results:
            failed = isinstance(result, VideoReadError)
            yield index, str(result) if failed else classifier.rank(result, top_k)


def _classify_alone(
    cfg: DictConfig, classifier: TrainedClassifier, videos: Sequence[str]
) -> Generator[_Result, None, None]:
    """The result of a single video, for which only the operators of the net can use several cores."""
    (video,) = videos
    protocol = classifier.protocol.for_prediction(cfg.num_clips, cfg.num_crops)
    try:
        views = run_within(cfg.time_budget_seconds, video, lambda: read_views(video, protocol))
    except VideoReadError as error:
        yield 0, str(error)
        return
    scores = average_views(classifier.logits(views[None]), cast(Any, protocol.average))
    yield 0, classifier.rank(scores[0].cpu(), cfg.top_k)


def _classify_in_windows(
    cfg: DictConfig, classifier: TrainedClassifier, videos: Sequence[str]
) -> Generator[_Result, None, None]:
    shortest: float | None = None

    def results() -> Generator[_Result, None, None]:
        nonlocal shortest
        for index, video in enumerate(videos):
            try:
                windows = classify_windows(
                    classifier,
                    video,
                    stride_seconds=cfg.stride_seconds,
                    num_crops=cfg.num_crops,
                    batch_size=cfg.batch_size or 8,
                    time_budget_seconds=cfg.time_budget_seconds,
                    progress=len(videos) == 1,
                )
            except VideoReadError as error:
                yield index, str(error)
                continue
            if len(windows.starts) > 1:
                length = float(windows.ends[0] - windows.starts[0])
                shortest = length if shortest is None else min(shortest, length)
            yield index, timeline_of(cfg, classifier, windows)

    is_one = len(videos) == 1
    yield from results() if is_one else with_progress(results(), len(videos), "Classifying")
    if shortest is not None:
        warn_of_gaps(cfg.stride_seconds, shortest)


def timeline_of(cfg: DictConfig, classifier: TrainedClassifier, windows: WindowScores) -> Timeline:
    """The best classes of each window, and the segments."""
    top_k = cfg.top_k
    rankings = [
        classifier.rank(scores, top_k, start_seconds=start, end_seconds=end)
        for scores, start, end in zip(
            windows.scores, windows.starts.tolist(), windows.ends.tolist(), strict=True
        )
    ]
    segments = merge_segments(windows, classifier.classes, threshold=cfg.threshold)
    return Timeline(windows, rankings, segments)


def warn_of_gaps(stride_seconds: float, window_seconds: float) -> None:
    """Print a warning if there are gaps between windows."""
    if stride_seconds > 1.001 * window_seconds:  # stamps are rounded
        _CONSOLE.print(
            f"warning: windows of {window_seconds:.3g} s start every {stride_seconds:g} s; the time "
            "between them is not classified, and no two of them become one segment: give "
            f"stride_seconds={window_seconds / 2:.2g}, or at most {window_seconds:.3g}",
            soft_wrap=True,
        )
