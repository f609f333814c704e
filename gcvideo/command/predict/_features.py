"""The command that writes a vector for each video, or for each window of it."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64
from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo._progress import with_progress
from gcvideo.command._video_list import VideoInputs, find_all_videos
from gcvideo.command.predict._source import sources_of
from gcvideo.command.predict._work import (
    PredictionCount,
    VideoWork,
    work_on_videos,
)
from gcvideo.command.results._feature_file import (
    as_bytes,
    as_digits,
    write_feature_parquet,
    write_npy,
)
from gcvideo.command.results._output import OutputForm
from gcvideo.command.results._row_layout import JsonLines, Record
from gcvideo.data import VideoReadError, is_stream
from gcvideo.inference import TrainedClassifier, extract_features, window_features

_CONSOLE = Console()
FEATURE_FORM = OutputForm(
    {".jsonl": JsonLines()}, {".npy": write_npy, ".parquet": write_feature_parquet}
)


@dataclass(frozen=True, eq=False)
class FeatureOutcome:
    """The vectors of a video, or why it has none.

    Args:
        index: place among the videos.
        video: path.
        vectors: one, or one for each window.
        times: starts and ends of the windows; None for the whole video.
        error: None if there is none.
        is_for_people: whether a file has digits.
    """

    index: int
    video: str
    vectors: Float32[np.ndarray, "n c"] | None = None
    times: Float64[np.ndarray, "n 2"] | None = None
    error: str | None = None
    is_for_people: bool = True

    def record(self) -> Record:
        """Plain data for a file."""
        place = {"index": self.index, "video": self.video}
        if self.vectors is None:
            return {**place, "error": self.error}
        text: Any = as_digits if self.is_for_people else as_bytes
        if self.times is None:
            return {**place, "features": text(self.vectors[0])}
        times = self.times.round(6).tolist()
        windows = [
            {"start_seconds": start, "end_seconds": end, "features": text(vector)}
            for (start, end), vector in zip(times, self.vectors, strict=True)
        ]
        return {**place, "windows": windows}

    def show(self) -> None:
        """Print how many there are."""
        if self.vectors is not None:
            num, width = self.vectors.shape
            _CONSOLE.print(f"{self.video}: {num} x {width}", soft_wrap=True)


def features(cfg: DictConfig, find: Callable[[], VideoInputs] | None = None) -> PredictionCount:
    """Write features of videos, as configured by ``conf/features.yaml``.

    A vector is the input of the net's linear layer, averaged over the views of a video (or of a window), in
    float32 and not normalised.

    Args:
        cfg: configuration.
        find: what finds the videos for ``video``; None: :func:`find_all_videos`.

    Raises:
        FileNotFoundError: if nothing matches ``video``.
        ValueError: if ``video`` is a live source, the net is computed by another program than torch, or for
            outputs as from ``predict``.
        Interrupted: after SIGINT or SIGTERM.
    """
    sources = sources_of(cfg)
    stream = next((source for source in sources if is_stream(source)), None)
    if stream is not None:
        raise ValueError(f"'{stream}' is a live source; record it to a file first")
    FEATURE_FORM.check(cfg.output)
    keys = ("num_clips", "num_crops", "stride_seconds")
    work = VideoWork(
        command="features",
        form=FEATURE_FORM,
        settings={key: cfg[key] for key in keys},
        outcomes=lambda *given: _compute(cfg, *given),
    )
    inputs = find_all_videos(sources) if find is None else find()
    return work_on_videos(cfg, work, inputs)


def _compute(
    cfg: DictConfig,
    classifier: TrainedClassifier,
    inputs: VideoInputs,
    places: Int64[np.ndarray, " n"],
) -> Generator[FeatureOutcome, None, None]:
    is_for_people = str(cfg.output).endswith((".jsonl", "-"))
    for place in places.tolist():
        if place in inputs.missing:
            yield FeatureOutcome(place, inputs.paths[place], error=inputs.missing[place])
    places = np.setdiff1d(places, np.array(list(inputs.missing), np.int64))
    paths = inputs.paths.take(places)
    options: dict[str, Any] = {
        "num_crops": cfg.num_crops,
        "batch_size": cfg.batch_size,
        "time_budget_seconds": cfg.time_budget_seconds,
    }
    if cfg.stride_seconds is None:
        options |= {"num_clips": cfg.num_clips, "num_workers": cfg.num_workers}
        with closing(extract_features(classifier, paths, **options)) as results:
            for index, result in results:
                place, path = int(places[index]), paths[index]
                if isinstance(result, VideoReadError):
                    yield FeatureOutcome(place, path, error=str(result))
                else:
                    yield FeatureOutcome(
                        place, path, result[None].numpy(), is_for_people=is_for_people
                    )
        return

    options |= {
        "stride_seconds": cfg.stride_seconds,
        "batch_size": cfg.batch_size or 8,
        "progress": False,
    }

    def in_windows() -> Generator[FeatureOutcome, None, None]:
        for index, path in enumerate(paths):
            place = int(places[index])
            try:
                found = window_features(classifier, path, **options)
            except VideoReadError as error:
                yield FeatureOutcome(place, path, error=str(error))
                continue
            times = np.stack([found.starts, found.ends], axis=1)
            yield FeatureOutcome(
                place, path, found.scores.numpy(), times, is_for_people=is_for_people
            )

    yield from with_progress(in_windows(), len(paths), "Computing features")
