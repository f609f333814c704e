"""A source classified while it comes in."""

import numpy as np
import torch

from gcvideo._console import Console
from gcvideo.command.predict._recorded import timeline_of
from gcvideo.command.predict._request import PredictRequest
from gcvideo.command.predict._result import Predictions, warn_of_gaps
from gcvideo.data import stream_frames
from gcvideo.inference import LiveScores, TrainedClassifier, WindowScores, classify_live
from gcvideo.inference._seconds_bar import format_seconds

_CONSOLE = Console()
_DEFAULT_STRIDE_SECONDS = 1.0


def predict_live(
    request: PredictRequest, classifier: TrainedClassifier, predictions: Predictions
) -> None:
    """Print a line as soon as a window is there, and keep windows and segments at the end.

    The end is that of the source, or Ctrl-C, which keeps what was seen until then. So does a source
    that breaks off, which is a failure then.

    Raises:
        VideoReadError: if the source cannot be opened.
    """
    source = request.stream
    assert source is not None
    seen: list[LiveScores] = []
    stride_seconds = request.stride_seconds or _DEFAULT_STRIDE_SECONDS
    with stream_frames(
        source,
        format=request.format,
        short_side=classifier.protocol.decode_size,
        square_pixels=classifier.protocol.square_pixels,
    ) as frames:
        results = classify_live(
            classifier, frames, stride_seconds=stride_seconds, num_crops=request.num_crops
        )
        try:
            with predictions.catching(source):
                for result in results:
                    ranking = classifier.rank(result.scores, request.top_k)
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
        predictions.timelines[source] = timeline_of(request, classifier, windows)
