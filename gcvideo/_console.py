"""The one kind of console, which prints everything literally, including file names."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import rich.console
from rich.control import Control
from rich.live import Live
from rich.status import Status
from rich.text import Text

_LOG_WIDTH = 100


class Console(rich.console.Console):
    """A console without markup: ``[a]`` and ``:smile:`` are plain text, in tables too.

    ``file`` is open for text; without one, each print goes to the standard output of its moment. While a
    bar of one console is on a terminal, what the others print there stands above it. Differs from Rich's,
    where a bar overwrites the lines of other consoles.
    """

    _live: ClassVar[list["Console"]] = []  # those with a bar, the last on top
    _logs: ClassVar[list[rich.console.Console]] = []

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

    def print(self, *objects: Any, **options: Any) -> None:
        bars = Console._live
        shown = bars[-1] if bars and self not in bars and self.is_terminal else self
        rich.console.Console.print(shown, *objects, **options)
        if not any(isinstance(part, Control) for part in objects):  # which redraws a bar
            for log in Console._logs:
                log.print(*objects, **options)

    def set_live(self, live: Live) -> bool:
        if self.is_terminal:
            Console._live.append(self)
        return super().set_live(live)

    def clear_live(self) -> None:
        if self in Console._live:
            Console._live.remove(self)
        super().clear_live()

    def status(self, status: rich.console.RenderableType, **options: object) -> Status:
        # A status interprets markup on every console.
        text = Text(status) if isinstance(status, str) else status
        return super().status(text, **options)  # pyright: ignore[reportArgumentType]


@contextmanager
def transcript(path: Path | None) -> Iterator[None]:
    """Within, what all consoles print is appended to a file too, without bars; so are warnings and an error."""
    if path is None:
        yield
        return
    shown = warnings.showwarning
    with path.open("a", buffering=1, encoding="utf-8", errors="backslashreplace") as file:
        log = rich.console.Console(
            file=file,
            width=_LOG_WIDTH,
            force_terminal=False,
            color_system=None,
            markup=False,
            emoji=False,
            highlight=False,
        )

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            log.print(f"{category.__name__}: {message}", soft_wrap=True)
            shown(message, category, *where, **more)

        Console._logs.append(log)
        warnings.showwarning = show
        try:
            yield
        except BaseException as error:
            log.print(f"{type(error).__name__}: {error}", soft_wrap=True)
            raise
        finally:
            warnings.showwarning = shown
            Console._logs.remove(log)


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
