"""A progress bar over results as they come."""

import time
from collections.abc import Generator
from typing import TypeVar

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from gcvideo._console import Console
from gcvideo._duration import duration

T = TypeVar("T")


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:.1f}/s", style="progress.data.speed")


def with_progress(
    results: Generator[T, None, None], total: int, description: str
) -> Generator[T, None, None]:
    """The same results with a bar on standard error, or with one line at the end if it is no terminal."""
    console = Console(stderr=True)
    start, done = time.monotonic(), 0
    text, bar = TextColumn("{task.description}", markup=False), BarColumn()
    columns = (text, bar, MofNCompleteColumn(), _RateColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task(description, total=total)
            for result in results:
                done += 1
                progress.update(task, advance=1)
                yield result
    finally:
        results.close()
        if not console.is_terminal:
            seconds = time.monotonic() - start
            console.print(f"{description}: {done} of {total} in {duration(seconds)}")
