"""The command ``predict``: videos from files, or a live source."""

import signal
from pathlib import Path

from omegaconf import DictConfig

from gcvideo.command._interruption import Interrupted, interruptible
from gcvideo.command._output_check import check_file
from gcvideo.command.predict import _prediction as prediction
from gcvideo.command.predict._live_classification import classify_stream
from gcvideo.command.predict._live_output import beside_rows
from gcvideo.command.predict._result import Predictions
from gcvideo.data import is_stream


def predict(cfg: DictConfig) -> Predictions:
    """Classify videos or a live source, as configured by ``conf/predict.yaml``.

    Raises:
        ValueError: if options contradict each other.
        VideoReadError: if a live source cannot be opened.
        Interrupted: after SIGINT or SIGTERM, when the results so far have been written; for a live source,
            SIGINT is a normal end.
    """
    sources = [str(cfg.video)] if isinstance(cfg.video, str | int) else list(map(str, cfg.video))
    live = next((source for source in sources if is_stream(source, cfg.format)), None)
    if live is None:
        return prediction.predict(cfg)
    if len(sources) > 1:
        raise ValueError(
            f"'{live}' is a live source, which cannot be combined with other videos; give it alone"
        )
    _check_options(cfg, live)
    return predict_live(cfg, live)


def predict_live(cfg: DictConfig, source: str) -> Predictions:
    """Classify a live source until it ends or a signal comes."""
    predictions = Predictions()
    with interruptible() as received:
        with beside_rows(cfg.output):
            classifier = prediction._load(cfg, predictions)
        classify_stream(cfg, source, classifier, predictions)
    if signal.SIGTERM in received:
        raise Interrupted(signal.SIGTERM)
    return predictions


def _check_options(cfg: DictConfig, source: str) -> None:
    for key in ("annotated", "contact_sheets"):
        if cfg[key] is not None:
            raise ValueError(
                f"{key} is '{cfg[key]}', but '{source}' is a live source; leave {key} out, or record the "
                "source to a file first"
            )
    if cfg.output is None or cfg.output == "-":
        return
    if Path(cfg.output).suffix not in (".jsonl", ".csv"):
        raise ValueError(
            f"output is '{cfg.output}', but rows of a live source are appended to a file, as lines; give one "
            "ending in .jsonl or .csv, or - for JSON lines on the standard output"
        )
    check_file(cfg.output, "output")
