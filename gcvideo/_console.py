"""The one kind of console, which prints everything literally, including file names."""

from typing import Any

import rich.console
from rich.status import Status
from rich.text import Text


class Console(rich.console.Console):
    """A console without markup: ``[a]`` and ``:smile:`` are plain text, in tables too.

    ``file`` is open for text; without one, each print goes to the standard output of its moment.
    """

    def __init__(self, *, stderr: bool = False, file: Any = None, width: int | None = None) -> None:
        super().__init__(
            stderr=stderr, file=file, width=width, markup=False, emoji=False, highlight=False
        )

    @property
    def file(self) -> Any:
        """The output; what its encoding cannot represent, such as bytes of file names, is escaped."""
        return _TolerantFile(super().file)

    @file.setter
    def file(self, new_file: Any) -> None:
        self._file = new_file

    def status(self, status: rich.console.RenderableType, **options: object) -> Status:
        # A status interprets markup on every console.
        text = Text(status) if isinstance(status, str) else status
        return super().status(text, **options)  # pyright: ignore[reportArgumentType]


class _TolerantFile:
    """A text file that escapes the characters it cannot encode."""

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
