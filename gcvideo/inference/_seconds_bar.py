"""A progress bar over the seconds of one video."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gcvideo._console import Console


@contextmanager
def seconds_bar(description: str, *, show: bool) -> Iterator[Callable[[float, float], None]]:
    """Give a function that is called with the seconds done and in total; the bar needs a terminal."""
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
