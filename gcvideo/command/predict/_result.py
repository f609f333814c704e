"""The results of a prediction, and how they look on the screen."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.table import Column, Table

from gcvideo._console import Console
from gcvideo.data import VideoReadError
from gcvideo.inference import Prediction, WindowScores
from gcvideo.inference._seconds_bar import format_seconds

_CONSOLE = Console()


@dataclass(frozen=True, eq=False)
class Timeline:
    """The results of one video in windows: the best classes of each window, and the segments."""

    windows: WindowScores
    rankings: Sequence[Sequence[Prediction]]
    segments: Sequence[Prediction]


@dataclass
class Predictions:
    """Results by path; ``failures`` holds the reasons why videos could not be read."""

    videos: Sequence[str] = ()
    rankings: dict[str, list[Prediction]] = field(default_factory=dict)
    timelines: dict[str, Timeline] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    checkpoint: str | None = None
    engine: str = "torch"
    precision: str = "float32"

    @property
    def remaining(self) -> list[str]:
        """Files that have not been classified."""
        done = self.rankings.keys() | self.timelines.keys() | self.failures.keys()
        return [video for video in self.videos if video not in done]

    @property
    def num_done(self) -> int:
        return len(self.videos) - len(self.remaining)

    def sort(self) -> None:
        """Bring results that came as they finished into the order of the files."""
        place = {video: number for number, video in enumerate(self.videos)}
        for found in (self.rankings, self.timelines, self.failures):
            # Names that matched no file come first.
            for video in sorted(found, key=lambda video: place.get(video, -1)):
                found[video] = found.pop(video)  # pyright: ignore[reportArgumentType]

    @contextmanager
    def catching(self, video: str) -> Iterator[None]:
        """Within, an error in reading a video becomes its failure."""
        try:
            yield
        except VideoReadError as error:
            self.failures[video] = str(error)


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
                times = format_seconds(s.start_seconds or 0), format_seconds(s.end_seconds or 0)
                table.add_row("" if number else video, *times, s.name, f"{s.score:.3f}")
        _CONSOLE.print(table)
    if predictions.failures:
        _CONSOLE.print(f"{len(predictions.failures)} files could not be read:")
    for reason in predictions.failures.values():
        _CONSOLE.print(f"  {reason}", soft_wrap=True)


def warn_of_gaps(stride_seconds: float, window_seconds: float) -> None:
    """Print a warning if there are gaps between windows."""
    if stride_seconds > 1.001 * window_seconds:  # stamps are rounded
        _CONSOLE.print(
            f"warning: windows of {window_seconds:.3g} s start every {stride_seconds:g} s; the time "
            "between them is not classified, and no two of them become one segment: give "
            f"stride_seconds={window_seconds / 2:.2g}, or at most {window_seconds:.3g}",
            soft_wrap=True,
        )


def _table(*columns: str) -> Table:
    # Fold long paths instead of cutting them. Columns hold cells, so each table needs its own.
    return Table(Column("video", overflow="fold"), *columns)
