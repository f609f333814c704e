"""Lists and tables as text editors, spreadsheets and pandas write them: encodings and separators."""

import codecs
import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TextIO

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CHUNK = 2**20


class Encoding(NamedTuple):
    """How bytes become text, as ``open`` takes it."""

    name: str
    errors: str = "strict"


# Bytes of file names that are no UTF-8 become lone surrogates, as in ``os.listdir``.
FILE_NAMES = Encoding("utf-8-sig", "surrogateescape")
WINDOWS = Encoding("cp1252")


def find_encoding(file: Path) -> Encoding | None:
    """The encoding of a text file; None if it is neither UTF-8 nor has the mark of UTF-16 or UTF-32.

    Raises:
        ValueError: if the file is no text.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_utf8 = True
    with file.open("rb") as stream:
        head = stream.read(_CHUNK)
        for mark, name in _MARKS.items():
            if head.startswith(mark):
                return Encoding(name)
        for chunk in chain([head], iter(lambda: stream.read(_CHUNK), b"")):
            if b"\0" in chunk:
                raise ValueError(
                    f"{file} has bytes that are zero, so it is no text in UTF-8; save it as UTF-8, or "
                    "as UTF-16 with its byte order mark"
                )
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                is_utf8 = False
                decoder.reset()
    return FILE_NAMES if is_utf8 else None


@contextmanager
def open_text(file: Path, encoding: Encoding) -> Iterator[TextIO]:
    """The text of a file, with line ends as they are.

    Raises:
        ValueError: if the bytes are not of that encoding.
    """
    with file.open(encoding=encoding.name, errors=encoding.errors, newline="") as stream:
        try:
            yield stream
        except UnicodeError as error:
            raise ValueError(
                f"{file} cannot be read as {encoding.name} ({error}); save it as UTF-8"
            ) from error


def split_fields(line: str) -> tuple[str, list[str]]:
    """The separator of a line, of comma, semicolon and tab the one that makes most fields; the fields."""
    fields = {mark: next(csv.reader([line], delimiter=mark), []) for mark in (",", ";", "\t")}
    separator = max(fields, key=lambda mark: len(fields[mark]))
    return separator, [field.strip() for field in fields[separator]]


def column_name(text: str) -> str:
    """A heading as tables are asked for it: "Class Name" is "class_name"."""
    return text.strip().lower().replace(" ", "_")


class Table:
    """Rows below a line of headings.

    Args:
        file: that they come from, for messages.
        lines: of the file.
        columns: headings, where the lines have none.
    """

    def __init__(
        self, file: Path, lines: Iterator[str], columns: Sequence[str] | None = None
    ) -> None:
        first = next(lines, "")
        separator, fields = split_fields(first)
        self.file = file
        self.headings = fields if columns is None else list(columns)
        self.columns = [column_name(heading) for heading in self.headings]
        self._start = 2 if columns is None else 1
        rest = lines if columns is None else chain([first], lines)
        self._reader = csv.reader(rest, delimiter=separator)

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Number and fields of each row that is not empty, as many fields as columns or more.

        Raises:
            ValueError: for a row with more fields than headings.
        """
        width = len(self.columns)
        number = self._start
        try:
            for number, row in enumerate(self._reader, start=self._start):
                if not any(row):
                    continue
                if len(row) == width:
                    yield number, row
                elif any(row[width:]):
                    raise ValueError(
                        f"{self.file}, row {number} has {len(row)} fields for the columns "
                        f"{', '.join(self.headings)}; put a field that holds the separator into "
                        "quotes; of several labels keep one, for each video has one class"
                    )
                else:
                    yield number, row[:width] + [""] * (width - len(row))
        except csv.Error as error:
            raise ValueError(f"{self.file}, row {number}: {error}; correct its quotes") from error

    def find(self, names: Sequence[str]) -> int | None:
        """Place of the first of ``names`` that is a column."""
        return next((self.columns.index(name) for name in names if name in self.columns), None)
