from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gcvideo._console import Console
from gcvideo.command.predict._output import format_seconds


@contextmanager
def seconds_bar(
    description: str, console: Console, *, disable: bool = False
) -> Iterator[Callable[[float, float], None]]:
    """A bar over the time of one video, on a terminal only.

    Args:
        description: what is done to the video.
        console: to print on.
        disable: show none.

    Yields:
        A function to be told how many seconds are done, and of how many.
    """
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[clock]}", markup=False),
        TimeRemainingColumn(),
        console=console,
        disable=disable or not console.is_terminal,
    ) as progress:
        task = progress.add_task(description, total=None, clock="")

        def tell(done: float, total: float) -> None:
            clock = f"{format_seconds(done)} of {format_seconds(total)}"
            progress.update(task, completed=done, total=total, clock=clock)

        yield tell
