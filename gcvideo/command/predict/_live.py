from collections.abc import Iterator

import numpy as np
import torch
from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo.command.predict._output import Predictions, Timeline, format_seconds, warn_of_gaps
from gcvideo.data import VideoReadError
from gcvideo.data.video._stream import stream_frames
from gcvideo.inference import TrainedClassifier
from gcvideo.inference._live import LiveScores, classify_live
from gcvideo.inference._segment import merge_segments
from gcvideo.inference._sliding_window import WindowScores

_CONSOLE = Console()
_DEFAULT_STRIDE_SECONDS = 1.0


def predict_live(cfg: DictConfig, classifier: TrainedClassifier) -> Predictions:
    """Classify a source while it comes in: a line as soon as a window is there, segments at the end.

    The end is that of the source, or Ctrl-C, which keeps what was seen until then. So does a source
    that breaks off; it is a failure then.

    Raises:
        ValueError: for options that only files know.
        VideoReadError: if the source cannot be opened.
    """
    source = str(cfg.video)
    for option in ("annotated", "contact_sheets"):
        if cfg[option] is not None:
            raise ValueError(
                f"{option} is '{cfg[option]}', but '{source}' is read as it comes; leave {option} out, or "
                "record the source to a file first"
            )
    predictions = Predictions()
    seen: list[LiveScores] = []
    stride_seconds = cfg.stride_seconds or _DEFAULT_STRIDE_SECONDS
    with stream_frames(
        source,
        format=cfg.format,
        short_side=classifier.protocol.decode_size,
        square_pixels=classifier.protocol.square_pixels,
    ) as frames:
        results = classify_live(
            classifier,
            frames,
            stride_seconds=stride_seconds,
            num_crops=cfg.num_crops,
        )
        try:
            for result in _printed(results, classifier, cfg.top_k):
                seen.append(result)
                if len(seen) == 2:
                    warn_of_gaps(stride_seconds, seen[0].end_seconds - seen[0].start_seconds)
        except KeyboardInterrupt:
            _CONSOLE.print("interrupted")
        except VideoReadError as error:
            predictions.failures[source] = str(error)
    if seen:
        windows = WindowScores(
            np.array([result.start_seconds for result in seen]),
            np.array([result.end_seconds for result in seen]),
            torch.stack([result.scores for result in seen]),
        )
        rankings = [classifier.rank(result.scores, cfg.top_k) for result in seen]
        segments = merge_segments(windows, classifier.classes, threshold=cfg.threshold)
        predictions.timelines[source] = Timeline(windows, rankings, segments)
    return predictions


def _printed(
    results: Iterator[LiveScores], classifier: TrainedClassifier, top_k: int
) -> Iterator[LiveScores]:
    for result in results:
        ranking = classifier.rank(result.scores, top_k)
        classes = ", ".join(f"{p.name} {p.score:.2f}" for p in ranking)
        times = f"{format_seconds(result.start_seconds)} - {format_seconds(result.end_seconds)}"
        _CONSOLE.print(f"{times}  {classes}", soft_wrap=True)
        yield result
