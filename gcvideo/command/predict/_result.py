"""What is known of the videos of a prediction, and how it looks on the screen."""

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
    """What was seen in the windows of one video: the best classes of each, and segments of one class."""

    windows: WindowScores
    rankings: Sequence[Sequence[Prediction]]
    segments: Sequence[Prediction]


@dataclass
class Predictions:
    """Results by path.

    Args:
        videos: files that are to be classified, in the order of the results.
        rankings: best classes of videos that were classified as a whole.
        timelines: windows and segments of the others.
        failures: reasons why videos could not be read.
        checkpoint: file, or name of published weights, that the results are by.
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
        for found in (self.rankings, self.timelines, self.failures):
            # What has no place, as a name that stands for no file, comes first.
            for video in sorted(found, key=lambda video: place.get(video, -1)):
                found[video] = found.pop(video)  # pyright: ignore[reportArgumentType]

    @contextmanager
    def catching(self, video: str) -> Iterator[None]:
        """Within, that a video cannot be read becomes its failure."""
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
    """Print a warning if windows leave parts of a video between them."""
    if stride_seconds > 1.001 * window_seconds:  # stamps are rounded
        _CONSOLE.print(
            f"warning: windows of {window_seconds:.3g} s start every {stride_seconds:g} s; what lies "
            "between two of them is not looked at, and no two become one segment: give "
            f"stride_seconds={window_seconds / 2:.2g}, or at most {window_seconds:.3g}",
            soft_wrap=True,
        )


def _table(*columns: str) -> Table:
    # A path cut short names no file. A column keeps its cells, so that each table needs its own.
    return Table(Column("video", overflow="fold"), *columns)
