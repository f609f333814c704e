"""The one kind of console: what it prints, names of files among it, stands there as it is."""

from collections.abc import Iterable
from typing import Any

import rich.console
from rich.segment import Segment
from rich.status import Status
from rich.text import Text


class Console(rich.console.Console):
    """A console without markup: ``[a]`` and ``:smile:`` are letters, in tables too.

    Args:
        stderr: whether it prints to standard error.
        file: open for text; None: the standard output at each print.
        width: in columns; None: that of the terminal.
    """

    def __init__(self, *, stderr: bool = False, file: Any = None, width: int | None = None) -> None:
        super().__init__(
            stderr=stderr, file=file, width=width, markup=False, emoji=False, highlight=False
        )

    def render(
        self,
        renderable: rich.console.RenderableType,
        options: rich.console.ConsoleOptions | None = None,
    ) -> Iterable[Segment]:
        # A byte of a file name that is no UTF-8 is shown as "\udcff": to write it would be an error.
        encoding = getattr(self.file, "encoding", None) or "utf-8"
        for segment in super().render(renderable, options):
            text = segment.text
            if not text.isascii():
                text = text.encode(encoding, "backslashreplace").decode(encoding)
            yield segment._replace(text=text)

    def status(self, status: rich.console.RenderableType, **options: object) -> Status:
        # A status reads markup on every console.
        text = Text(status) if isinstance(status, str) else status
        return super().status(text, **options)  # pyright: ignore[reportArgumentType]
