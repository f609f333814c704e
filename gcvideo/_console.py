"""The one kind of console: what it prints, names of files among it, stands there as it is."""

from typing import Any

import rich.console
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

    @property
    def file(self) -> Any:
        """What is printed to; bytes of file names that it cannot hold are shown as escapes."""
        return _TolerantFile(super().file)

    @file.setter
    def file(self, new_file: Any) -> None:
        self._file = new_file

    def status(self, status: rich.console.RenderableType, **options: object) -> Status:
        # A status reads markup on every console.
        text = Text(status) if isinstance(status, str) else status
        return super().status(text, **options)  # pyright: ignore[reportArgumentType]


class _TolerantFile:
    """A text file that shows the letters it cannot encode by their numbers."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        try:
            return self._file.write(text)
        except UnicodeEncodeError:
            encoding = self._file.encoding
            return self._file.write(text.encode(encoding, "backslashreplace").decode(encoding))
