"""The results of one video, as they stand in a file and on the screen."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gcvideo._console import Console
from gcvideo.command.results._output import OutputForm
from gcvideo.command.results._parquet import arrow, write_parquet
from gcvideo.command.results._row_layout import Csv, JsonLines, Record
from gcvideo.inference import Prediction, WindowScores
from gcvideo.inference._seconds_bar import format_seconds

_CONSOLE = Console()
_DECIMALS = 6


@dataclass(frozen=True, eq=False)
class Timeline:
    """The results of a video in windows: the best classes of each window, and the segments."""

    windows: WindowScores
    rankings: Sequence[Sequence[Prediction]]
    segments: Sequence[Prediction]


@dataclass(frozen=True, eq=False)
class Outcome:
    """The results of a video, or why it has none.

    Args:
        index: place among the videos.
        video: path.
        result: best classes of the whole video, its timeline, or an error.
    """

    index: int
    video: str
    result: Sequence[Prediction] | Timeline | str

    @property
    def error(self) -> str | None:
        return self.result if isinstance(self.result, str) else None

    def record(self) -> Record:
        """Plain data for a file; scores have six decimals."""
        content: dict[str, Any]
        if isinstance(self.result, str):
            content = {"error": self.result}
        elif isinstance(self.result, Timeline):
            rankings, segments = self.result.rankings, self.result.segments
            content = {
                "windows": [{**_times(r[0]), "classes": [_class(p) for p in r]} for r in rankings],
                "segments": [{**_times(s), **_class(s)} for s in segments],
            }
        else:
            content = {"classes": [_class(p) for p in self.result]}
        return {"index": self.index, "video": self.video, **content}

    def show(self) -> None:
        """Print the results."""
        if self.error is not None:
            _CONSOLE.print(self.error, soft_wrap=True)
            return
        _CONSOLE.print(self.video, soft_wrap=True)
        for line in self._lines():
            _CONSOLE.print(f"  {line}", soft_wrap=True)

    def _lines(self) -> Iterator[str]:
        if isinstance(self.result, Timeline):
            for s in self.result.segments:
                start, end = (format_seconds(t or 0) for t in (s.start_seconds, s.end_seconds))
                yield f"{start} - {end}  {s.name} {s.score:.3f}"
            if not self.result.segments:
                yield "no class reaches the threshold"
        else:
            for prediction in self.result:
                assert isinstance(prediction, Prediction)
                yield f"{prediction.score:.3f}  {prediction.name}"


def _times(p: Prediction) -> dict[str, Any]:
    assert p.start_seconds is not None
    assert p.end_seconds is not None
    return {
        "start_seconds": round(p.start_seconds, _DECIMALS),
        "end_seconds": round(p.end_seconds, _DECIMALS),
    }


def _class(p: Prediction) -> dict[str, Any]:
    return {"label": p.label, "name": p.name, "score": round(p.score, _DECIMALS)}


def _ranking_rows(record: Record) -> Iterator[Sequence[object]]:
    for rank, best in enumerate(record["classes"], 1):
        yield rank, best["label"], best["name"], f"{best['score']:.6f}"


def _timeline_rows(record: Record) -> Iterator[Sequence[object]]:
    best = [("window", {**window, **window["classes"][0]}) for window in record["windows"]]
    for kind, row in best + [("segment", segment) for segment in record["segments"]]:
        times = f"{row['start_seconds']:.3f}", f"{row['end_seconds']:.3f}"
        yield kind, *times, row["label"], row["name"], f"{row['score']:.6f}"


_RANKING_TABLE = Csv(("index", "video", "rank", "label", "name", "score", "error"), _ranking_rows)
_TIMELINE_TABLE = Csv(
    ("index", "video", "kind", "start_seconds", "end_seconds", "label", "name", "score", "error"),
    _timeline_rows,
)


def form_of(*, in_windows: bool) -> OutputForm:
    """What predictions can be written as."""
    table = _TIMELINE_TABLE if in_windows else _RANKING_TABLE
    parquet = partial(_write_parquet, in_windows=in_windows)
    return OutputForm({".jsonl": JsonLines(), ".csv": table}, {".parquet": parquet})


def _write_parquet(lines: Path, output: Path, *, in_windows: bool) -> None:
    """A table with the keys of the lines as columns: classes, or windows and segments, are lists."""
    types = arrow()
    best = [("label", types.int64()), ("name", types.string()), ("score", types.float64())]
    times = [("start_seconds", types.float64()), ("end_seconds", types.float64())]
    classes = types.list_(types.struct(best))
    results = [("classes", classes)]
    if in_windows:
        windows = types.list_(types.struct([*times, ("classes", classes)]))
        results = [("windows", windows), ("segments", types.list_(types.struct([*times, *best])))]
    place = [("index", types.int64()), ("video", types.string())]
    with lines.open("rb") as file:
        write_parquet(output, [*place, *results, ("error", types.string())], map(json.loads, file))
