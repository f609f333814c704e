"""The command that classifies videos or a live source."""

from typing import Any

from omegaconf import DictConfig

from gcvideo.command._video_list import VideoInputs, find_all_videos
from gcvideo.command.predict._classification import classify
from gcvideo.command.predict._drawing import Drawing
from gcvideo.command.predict._outcome import form_of
from gcvideo.command.predict._work import PredictionCount, VideoWork, work_on_videos
from gcvideo.data import is_stream

_SETTINGS = ("num_clips", "num_crops", "top_k")


def predict(cfg: DictConfig) -> PredictionCount:
    """Classify videos or a live source, as configured by ``conf/predict.yaml``.

    All readable files are classified, even if others fail, and results are written as they come. The same
    command goes on where an earlier one was stopped.

    Raises:
        FileNotFoundError: if nothing matches ``video``.
        ValueError: if ``output`` has an unknown ending, cannot be written or holds results of another run,
            ``precision`` is unknown, a live source is combined with other videos, or options contradict
            each other.
        VideoReadError: if a live source cannot be opened.
        Interrupted: after SIGINT or SIGTERM; for a live source, SIGINT is a normal end.
    """
    _stream, inputs = _settle_sources(cfg)
    settings: dict[str, Any] = {key: cfg[key] for key in _SETTINGS}
    if cfg.stride_seconds is not None:
        settings |= {key: cfg[key] for key in ("stride_seconds", "threshold")}
    drawing = Drawing(cfg, inputs)
    work = VideoWork(
        command="predict",
        form=form_of(in_windows=cfg.stride_seconds is not None),
        settings=settings,
        outcomes=lambda *given: drawing.draw_all(classify(cfg, *given), given[0]),
    )
    return work_on_videos(cfg, work, inputs)


def _settle_sources(cfg: DictConfig) -> tuple[str | None, VideoInputs]:
    """The live source, or the videos and what is missing, after a check of the options."""
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
    for key in ("annotated", "contact_sheets"):
        if stream is not None and cfg[key] is not None:
            raise ValueError(
                f"{key} is '{cfg[key]}', but '{stream}' is a live source; leave {key} out, or record the "
                "source to a file first"
            )
    return stream, find_all_videos(sources)
