"""The command ``predict``: videos from files, or a live source."""

import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from omegaconf import DictConfig

from gcvideo.command._interruption import Interrupted, interruptible
from gcvideo.command._output_check import STANDARD_OUTPUT, check_file
from gcvideo.command._video_list import VideoInputs
from gcvideo.command.predict import _prediction as prediction
from gcvideo.command.predict._live_classification import classify_stream
from gcvideo.command.predict._source import sources_of
from gcvideo.command.predict._work import PredictionCount, load_classifier
from gcvideo.command.results._output import standard_output_of_rows
from gcvideo.data import is_stream


def predict(cfg: DictConfig, find: Callable[[], VideoInputs] | None = None) -> PredictionCount:
    """Classify videos or a live source, as configured by ``conf/predict.yaml``.

    Args:
        cfg: configuration.
        find: what finds the videos, if they are no live source; None: :func:`find_all_videos`.

    Raises:
        ValueError: if options contradict each other.
        VideoReadError: if a live source cannot be opened.
        Interrupted: after SIGINT or SIGTERM, when the results so far have been written; for a live source,
            SIGINT is a normal end.
    """
    sources = sources_of(cfg)
    live = next((source for source in sources if is_stream(source, cfg.format)), None)
    if live is None:
        return prediction.predict(cfg, find)
    if len(sources) > 1:
        raise ValueError(
            f"'{live}' is a live source, which cannot be combined with other videos; give it alone"
        )
    _check_options(cfg, live)
    return predict_live(cfg, live)


def predict_live(cfg: DictConfig, source: str) -> PredictionCount:
    """Classify a live source until it ends or a signal comes."""
    with ExitStack() as stack:
        standard = None
        if cfg.output == STANDARD_OUTPUT:
            standard = stack.enter_context(standard_output_of_rows())
        received = stack.enter_context(interruptible())
        classifier, _ = load_classifier(cfg)
        is_whole = classify_stream(cfg, source, classifier, standard)
    if signal.SIGTERM in received:
        raise Interrupted(signal.SIGTERM)
    return PredictionCount(1, int(not is_whole))


def _check_options(cfg: DictConfig, source: str) -> None:
    for key in ("annotated", "contact_sheets", "shard"):
        if cfg[key] is not None:
            raise ValueError(
                f"{key} is '{cfg[key]}', but '{source}' is a live source; leave {key} out, or record the "
                "source to a file first"
            )
    if cfg.output is None or cfg.output == STANDARD_OUTPUT:
        return
    if Path(cfg.output).suffix not in (".jsonl", ".csv"):
        raise ValueError(
            f"output is '{cfg.output}', but rows of a live source are appended to a file, as lines; give one "
            "ending in .jsonl or .csv, or - for JSON lines on the standard output"
        )
    check_file(cfg.output, "output")
