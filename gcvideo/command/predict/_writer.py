"""Writing of the results of a prediction as they come."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gcvideo._console import Console
from gcvideo.command._interruption import Interrupted
from gcvideo.command._output_check import OutputError, telling
from gcvideo.command._record import write_json
from gcvideo.command.predict._result import Predictions, Timeline, show_predictions
from gcvideo.data import write_table
from gcvideo.inference import Prediction

_CONSOLE = Console(stderr=True)
_LEAST_SECONDS = 1.0
# Each write rewrites the whole file, which may take this share of the time.
_SHARE = 1 / 20


class PredictionWriter:
    """Writes growing results to the output, if there is one; the file is complete at any time."""

    def __init__(self, predictions: Predictions, output: str | None) -> None:
        self.predictions = predictions
        self.output = None if output is None else Path(output)
        self._due = time.monotonic() + _LEAST_SECONDS
        self._has_failed = False

    def keep(self) -> None:
        """Write the results so far if it is time; only the first failure is reported, since it may pass."""
        if time.monotonic() < self._due:
            return
        try:
            self.write()
        except OutputError as error:
            if not self._has_failed:
                _CONSOLE.print(f"warning: {error}; the prediction continues", soft_wrap=True)
            self._has_failed = True
            self._due = time.monotonic() + _LEAST_SECONDS

    def write(self) -> None:
        """Write the results so far; OutputError if that is not possible."""
        if self.output is None:
            return
        started = time.monotonic()
        with telling(self.output, "output"):
            write_predictions(self.output, self.predictions)
        ended = time.monotonic()
        self._due = ended + max(_LEAST_SECONDS, (ended - started) / _SHARE)

    def finish(self) -> None:
        """Show and write all results."""
        show_predictions(self.predictions)
        self.write()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Within, an error or interruption shows and writes the results so far; it then says how many."""
        try:
            yield
        except BaseException as error:
            if self.predictions.num_done:
                self.finish()
            if isinstance(error, Interrupted):
                raise Interrupted(error.signal_number, self._summary(error)) from None
            raise

    def _summary(self, stop: Interrupted) -> str:
        done, total = self.predictions.num_done, len(self.predictions.videos)
        text = f"{stop}: {done} of {total} videos are done"
        if not done:
            return text
        if self.output is None:
            text += " and shown above; output=FILE keeps them"
        else:
            text += f" and written to '{self.output}'"
            text += ", which lists the others as not classified" if done < total else ""
        return f"{text}; running the same command again starts from the beginning"


def write_predictions(output: Path, predictions: Predictions) -> None:
    """Write json or csv, depending on the suffix; files that have not been classified are listed too."""
    output.parent.mkdir(parents=True, exist_ok=True)
    predictions.sort()
    if output.suffix == ".json":
        write_json(output, _content(predictions))
        return
    rows: list[list[Any]] = []
    if predictions.timelines:
        columns = ["video", "kind", "start_seconds", "end_seconds"]
        for video, timeline in predictions.timelines.items():
            best = [("window", ranking[0]) for ranking in timeline.rankings]
            for kind, p in best + [("segment", segment) for segment in timeline.segments]:
                times = f"{p.start_seconds:.3f}", f"{p.end_seconds:.3f}"
                rows.append([video, kind, *times, p.label, p.name, f"{p.score:.6f}", ""])
    else:
        columns = ["video", "rank"]
        for video, ranking in predictions.rankings.items():
            for rank, p in enumerate(ranking, 1):
                rows.append([video, rank, p.label, p.name, f"{p.score:.6f}", ""])
    columns += ["label", "name", "score", "error"]
    waiting = [(video, "not classified yet") for video in predictions.remaining]
    empty = [""] * (len(columns) - 2)
    rows += [[video, *empty, why] for video, why in [*predictions.failures.items(), *waiting]]
    write_table(output, columns, rows)


def _content(predictions: Predictions) -> dict[str, Any]:
    content: dict[str, Any] = {
        "checkpoint": predictions.checkpoint,
        "engine": predictions.engine,
        "precision": predictions.precision,
        "predictions": {v: [_class(p) for p in r] for v, r in predictions.rankings.items()},
        "failures": predictions.failures,
    }
    if predictions.remaining:
        content["not_classified"] = predictions.remaining
    if predictions.timelines:
        content["timelines"] = {v: _timeline(t) for v, t in predictions.timelines.items()}
    return content


def _timeline(timeline: Timeline) -> dict[str, Any]:
    windows = [{**_times(r[0]), "classes": [_class(p) for p in r]} for r in timeline.rankings]
    return {"windows": windows, "segments": [{**_times(s), **_class(s)} for s in timeline.segments]}


def _times(p: Prediction) -> dict[str, Any]:
    return {"start_seconds": p.start_seconds, "end_seconds": p.end_seconds}


def _class(p: Prediction) -> dict[str, Any]:
    return {"label": p.label, "name": p.name, "score": p.score}
