"""How far the work on one video has come."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gcvideo._console import Console


@contextmanager
def seconds_bar(description: str, *, show: bool) -> Iterator[Callable[[float, float], None]]:
    """A bar on standard error, if it is a terminal, over the time of a video.

    Yields:
        A function to be told how many seconds are done, and of how many.
    """
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[clock]}", markup=False),
        TimeRemainingColumn(),
        console=console,
        disable=not (show and console.is_terminal),
    ) as progress:
        task = progress.add_task(description, total=None, clock="")

        def tell(done: float, total: float) -> None:
            clock = f"{format_seconds(done)} of {format_seconds(total)}"
            progress.update(task, completed=done, total=total, clock=clock)

        yield tell


def format_seconds(seconds: float) -> str:
    """Minutes and seconds, and hours if there are any: 61.5 is 1:01.5."""
    minutes, seconds = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{seconds:04.1f}" if hours else f"{minutes}:{seconds:04.1f}"
