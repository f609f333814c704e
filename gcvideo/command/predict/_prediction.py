"""The command that classifies videos or a live source."""

import signal
from contextlib import closing

from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo.command._device import choose_device
from gcvideo.command._interruption import Interrupted, interruptible
from gcvideo.command.predict._drawing import draw_files
from gcvideo.command.predict._live import predict_live
from gcvideo.command.predict._recorded import classify_in_windows, classify_whole
from gcvideo.command.predict._request import settle_request
from gcvideo.command.predict._result import Predictions, show_predictions
from gcvideo.command.predict._writer import PredictionWriter
from gcvideo.inference import TrainedClassifier, load
from gcvideo.models import keep_freed_memory, precision_type

_CONSOLE = Console()


def predict(cfg: DictConfig) -> Predictions:
    """Classify videos or a live source, as configured by ``conf/predict.yaml``.

    Readable files are all classified, whatever becomes of the others, and written while they come.

    Raises:
        FileNotFoundError: if nothing matches ``video``.
        ValueError: if ``output`` is neither json nor csv or cannot be written, ``precision`` is unknown,
            a live source is not alone, or options do not go together.
        VideoReadError: if a live source cannot be opened or breaks off.
        Interrupted: after SIGINT or SIGTERM, once what is done has been written; SIGINT is the end of a
            live source like any other.
    """
    request = settle_request(cfg)
    predictions = Predictions(request.found.videos, failures=dict(request.found.missing))
    writer = PredictionWriter(predictions, request.output, precision=cfg.precision)
    with interruptible() as received:
        if request.stream is not None:
            classifier = _load(cfg, predictions)
            predict_live(request, classifier, predictions)
            writer.finish()
            if signal.SIGTERM in received:
                raise Interrupted(signal.SIGTERM)
            return predictions
        with writer.keeping():
            classifier = _load(cfg, predictions)
            classify = classify_whole if request.stride_seconds is None else classify_in_windows
            with closing(classify(request, classifier, predictions)) as results:
                for _ in results:
                    writer.keep()
            writer.write()
            if draw_files(request, classifier, predictions):
                writer.write()
        show_predictions(predictions)
    return predictions


def _load(cfg: DictConfig, predictions: Predictions) -> TrainedClassifier:
    dtype = precision_type(cfg.precision)
    classifier = load(cfg.checkpoint, device=choose_device(cfg.device), packages=list(cfg.packages))
    predictions.checkpoint = classifier.source
    if classifier.device.type == "cpu":
        keep_freed_memory()
    _CONSOLE.print(f"checkpoint {classifier.source}\nprecision  {cfg.precision}", soft_wrap=True)
    return classifier.for_inference(compile=cfg.compile, dtype=dtype)
