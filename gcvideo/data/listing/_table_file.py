"""Lists and tables as text editors, spreadsheets and pandas write them: encodings and separators."""

import codecs
import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TextIO

# Bytes of file names that are not UTF-8 become lone surrogates, as in ``os.listdir``.
FILE_NAMES = "utf-8-sig"
WINDOWS = "cp1252"
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def find_encoding(file: Path) -> str | None:
    """The encoding of a text file; None if it is neither UTF-8 nor marked as UTF-16 or UTF-32."""
    content = file.read_bytes()
    for mark, name in _MARKS.items():
        if content.startswith(mark):
            return name
    if b"\0" in content:
        raise ValueError(
            f"{file} contains zero bytes, so it is not UTF-8 text; save it as UTF-8, or as UTF-16 with "
            "its byte order mark"
        )
    try:
        content.decode()
    except UnicodeDecodeError:
        return None
    return FILE_NAMES


@contextmanager
def open_text(file: Path, encoding: str | None = None) -> Iterator[TextIO]:
    """The text of a file, with its line ends unchanged; its encoding is detected unless given."""
    encoding = encoding or find_encoding(file) or WINDOWS
    errors = "surrogateescape" if encoding == FILE_NAMES else "strict"
    with file.open(encoding=encoding, errors=errors, newline="") as stream:
        try:
            yield stream
        except UnicodeError as error:
            raise ValueError(
                f"{file} cannot be read as {encoding} ({error}); save it as UTF-8"
            ) from error


def column_name(text: str) -> str:
    """A heading in the form in which tables are queried: "Class Name" is "class_name"."""
    return text.strip().lower().replace(" ", "_")


class Table:
    """Rows of fields separated by comma, semicolon or tab, below headings unless these are given."""

    def __init__(
        self, file: Path, lines: Iterator[str], columns: Sequence[str] | None = None
    ) -> None:
        first = next(lines, "")
        fields = {mark: next(csv.reader([first], delimiter=mark), []) for mark in (",", ";", "\t")}
        separator = max(fields, key=lambda mark: len(fields[mark]))
        self.file = file
        self.headings = list(columns or [field.strip() for field in fields[separator]])
        self.columns = [column_name(heading) for heading in self.headings]
        self._start = 1 if columns else 2
        rest = chain([first], lines) if columns else lines
        self._reader = csv.reader(rest, delimiter=separator)

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Number and fields of each row that is not empty, as many fields as there are columns."""
        width = len(self.columns)
        number = self._start
        try:
            for number, row in enumerate(self._reader, start=self._start):
                if any(row[width:]):
                    raise ValueError(
                        f"{self.file}, row {number} has {len(row)} fields for the columns "
                        f"{', '.join(self.headings)}; quote a field that contains the separator; of "
                        "several labels keep one, since each video has one class"
                    )
                if any(row):
                    yield number, row[:width] + [""] * (width - len(row))
        except csv.Error as error:
            raise ValueError(f"{self.file}, row {number}: {error}; correct its quotes") from error

    def find(self, names: Sequence[str]) -> int | None:
        """Place of the first of ``names`` that is a column."""
        return next((self.columns.index(name) for name in names if name in self.columns), None)
