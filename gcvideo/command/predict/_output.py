"""What a prediction says: on the screen, and as json or csv."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rich.table import Column, Table

from gcvideo._console import Console
from gcvideo.command._record import write_json
from gcvideo.data import write_table
from gcvideo.inference import Prediction
from gcvideo.inference._segment import Segment
from gcvideo.inference._sliding_window import WindowScores

T = TypeVar("T")

_CONSOLE = Console()


@dataclass(frozen=True, eq=False)
class Timeline:
    """What was seen in the windows of one video.

    Args:
        windows: their times and scores.
        rankings: best classes of each window.
        segments: windows of one class, merged.
    """

    windows: WindowScores
    rankings: Sequence[Sequence[Prediction]]
    segments: Sequence[Segment]


@dataclass
class Predictions:
    """Results by path.

    Args:
        videos: files that are to be classified, in the order of the results.
        rankings: of videos that were classified as a whole, best first.
        timelines: of videos that were classified in windows.
        failures: reasons why others could not be read.
        checkpoint: the file, or the name of published weights, that they are by.
    """

    videos: Sequence[str] = ()
    rankings: dict[str, list[Prediction]] = field(default_factory=dict)
    timelines: dict[str, Timeline] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    checkpoint: str | None = None

    @property
    def remaining(self) -> list[str]:
        """Files whose turn has not come, or had not when the work ended."""
        done = self.rankings.keys() | self.timelines.keys() | self.failures.keys()
        return [video for video in self.videos if video not in done]

    @property
    def num_done(self) -> int:
        return len(self.videos) - len(self.remaining)

    def sort(self) -> None:
        """Bring results that came as they finished into the order of the files."""
        place = {video: number for number, video in enumerate(self.videos)}
        self.rankings = _sorted(self.rankings, place)
        self.timelines = _sorted(self.timelines, place)
        self.failures = _sorted(self.failures, place)


def _sorted(found: dict[str, T], place: Mapping[str, int]) -> dict[str, T]:
    """By place; what has none, as a name that stands for no file, comes first."""
    return dict(sorted(found.items(), key=lambda item: place.get(item[0], -1)))


def check_output(output: str | None) -> Path | None:
    """The output as a path; ValueError if it is neither json nor csv."""
    if output is not None and Path(output).suffix not in (".json", ".csv"):
        raise ValueError(f"output is '{output}'; give a file ending in .json or .csv")
    return None if output is None else Path(output)


def show_predictions(predictions: Predictions) -> None:
    """Print tables of classes and segments, then the files that could not be read."""
    predictions.sort()
    if predictions.rankings:
        table = _table("class", "score")
        for video, ranking in predictions.rankings.items():
            for rank, prediction in enumerate(ranking):
                name = video if rank == 0 else ""
                table.add_row(name, prediction.name, f"{prediction.score:.3f}")
        _CONSOLE.print(table)
    if predictions.timelines:
        table = _table("from", "to", "class", "score")
        for video, timeline in predictions.timelines.items():
            if not timeline.segments:
                table.add_row(video, "", "", "none", "")
            for number, s in enumerate(timeline.segments):
                times = format_seconds(s.start_seconds), format_seconds(s.end_seconds)
                table.add_row("" if number else video, *times, s.name, f"{s.score:.3f}")
        _CONSOLE.print(table)
    if predictions.failures:
        _CONSOLE.print(f"{len(predictions.failures)} files could not be read:")
    for reason in predictions.failures.values():
        _CONSOLE.print(f"  {reason}", soft_wrap=True)


def warn_of_gaps(stride_seconds: float, window_seconds: float) -> None:
    """Print a warning if windows leave parts of a video between them."""
    if stride_seconds > 1.001 * window_seconds:  # stamps are rounded
        _CONSOLE.print(
            f"warning: windows of {window_seconds:.3g} s start every {stride_seconds:g} s; what lies "
            "between two of them is not looked at, and no two become one segment: give "
            f"stride_seconds={window_seconds / 2:.2g}, or at most {window_seconds:.3g}",
            soft_wrap=True,
        )


def write_predictions(output: Path, predictions: Predictions, *, precision: str) -> None:
    """Write json or csv, as the suffix says; an older file is replaced at once.

    Files whose turn has not come are listed too: as "not_classified", or with that for an error.

    Args:
        output: file to write.
        predictions: results.
        precision: name of the type that the net computed in, which json tells.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    predictions.sort()
    if output.suffix == ".json":
        write_json(output, {"precision": precision, **_content(predictions)})
        return
    if predictions.timelines:
        columns = (
            *("video", "kind", "start_seconds", "end_seconds"),
            *("label", "name", "score", "error"),
        )
        write_table(output, columns, _timeline_rows(predictions))
    else:
        columns = ("video", "rank", "label", "name", "score", "error")
        write_table(output, columns, _ranking_rows(predictions))


def format_seconds(seconds: float) -> str:
    """Minutes and seconds, and hours if there are any: 61.5 is 1:01.5."""
    minutes, seconds = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{seconds:04.1f}" if hours else f"{minutes}:{seconds:04.1f}"


def _table(*columns: str) -> Table:
    # A path cut short names no file. A column keeps its cells, so that each table needs its own.
    return Table(Column("video", overflow="fold"), *columns)


def _content(predictions: Predictions) -> dict[str, Any]:
    content: dict[str, Any] = {
        "checkpoint": predictions.checkpoint,
        "predictions": {v: [asdict(p) for p in r] for v, r in predictions.rankings.items()},
        "failures": predictions.failures,
    }
    if predictions.remaining:
        content["not_classified"] = predictions.remaining
    if predictions.timelines:
        content["timelines"] = {
            video: {
                "windows": [
                    {"start_seconds": start, "end_seconds": end, "classes": [asdict(p) for p in r]}
                    for start, end, r in zip(
                        timeline.windows.starts.tolist(),
                        timeline.windows.ends.tolist(),
                        timeline.rankings,
                        strict=True,
                    )
                ],
                "segments": [asdict(segment) for segment in timeline.segments],
            }
            for video, timeline in predictions.timelines.items()
        }
    return content


def _ranking_rows(predictions: Predictions) -> list[list[Any]]:
    rows: list[list[Any]] = [
        [video, rank, p.label, p.name, f"{p.score:.6f}", ""]
        for video, ranking in predictions.rankings.items()
        for rank, p in enumerate(ranking, 1)
    ]
    return rows + [
        [video, "", "", "", "", reason] for video, reason in _without_result(predictions)
    ]


def _timeline_rows(predictions: Predictions) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for video, timeline in predictions.timelines.items():
        times = zip(timeline.windows.starts.tolist(), timeline.windows.ends.tolist(), strict=True)
        parts = [
            *(("window", *t, r[0]) for t, r in zip(times, timeline.rankings, strict=True)),
            *(("segment", s.start_seconds, s.end_seconds, s) for s in timeline.segments),
        ]
        for kind, start, end, p in parts:
            score = f"{p.score:.6f}"
            rows.append([video, kind, f"{start:.3f}", f"{end:.3f}", p.label, p.name, score, ""])
    failed = _without_result(predictions)
    return rows + [[video, "", "", "", "", "", "", reason] for video, reason in failed]


def _without_result(predictions: Predictions) -> list[tuple[str, str]]:
    """Files with the reason why they have none."""
    waiting = [(video, "not classified yet") for video in predictions.remaining]
    return [*predictions.failures.items(), *waiting]
