"""The command that classifies videos."""

from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig

from gcvideo.command._video_list import VideoInputs, find_all_videos
from gcvideo.command.predict._classification import classify
from gcvideo.command.predict._drawing import Drawing
from gcvideo.command.predict._outcome import form_of
from gcvideo.command.predict._source import sources_of
from gcvideo.command.predict._work import (
    PredictionCount,
    VideoWork,
    work_on_videos,
)

_SETTINGS = ("num_clips", "num_crops", "top_k")


def predict(cfg: DictConfig, find: Callable[[], VideoInputs] | None = None) -> PredictionCount:
    """Classify videos, as configured by ``conf/predict.yaml``.

    All readable files are classified, even if others fail, and results are written as they come. The same
    command goes on where an earlier one was stopped.

    Args:
        cfg: configuration.
        find: what finds the videos for ``video``; None: :func:`find_all_videos`.

    Raises:
        FileNotFoundError: if nothing matches ``video``.
        ValueError: if ``output`` has an unknown ending, cannot be written or holds results of another run,
            ``precision`` is unknown or options contradict each other.
        Interrupted: after SIGINT or SIGTERM.
    """
    form = form_of(in_windows=cfg.stride_seconds is not None)
    form.check(cfg.output)
    sources = sources_of(cfg)
    inputs = find_all_videos(sources) if find is None else find()
    settings: dict[str, Any] = {key: cfg[key] for key in _SETTINGS}
    if cfg.stride_seconds is not None:
        settings |= {key: cfg[key] for key in ("stride_seconds", "threshold")}
    drawing = Drawing(cfg, inputs)
    work = VideoWork(
        command="predict",
        form=form,
        settings=settings,
        outcomes=lambda *given: drawing.draw_all(classify(cfg, *given), given[0]),
    )
    return work_on_videos(cfg, work, inputs)
