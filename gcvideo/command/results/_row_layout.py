"""How the results of a video stand in a file: as a line of JSON, or as rows of CSV."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, Protocol, runtime_checkable

Record = Mapping[str, Any]
"""Results of an input: "index", its place among the inputs, "video", and more or an "error"."""

_INDEX = b'{"index": '


class Block(NamedTuple):
    """The bytes that hold the results of one input.

    Args:
        place: index of the input.
        start: offset of the first byte.
        end: offset behind the last byte.
        is_error: whether the input could not be worked on.
    """

    place: int
    start: int
    end: int
    is_error: bool


@runtime_checkable
class RowLayout(Protocol):
    """A format of files to which results are appended."""

    @property
    def header(self) -> bytes:
        """What a file begins with."""
        ...

    def encode(self, record: Record) -> bytes:
        """The bytes of one input."""
        ...

    def blocks(self, file: BinaryIO, *, is_whole: bool) -> Iterator[Block]:
        """All inputs whose results are whole, in the order of the file; ValueError for another content.

        Args:
            file: open for reading.
            is_whole: whether the file is known to end where an input ends.
        """
        ...


class JsonLines:
    """A JSON object in each line."""

    header = b""

    def encode(self, record: Record) -> bytes:
        text = json.dumps(record, ensure_ascii=False)
        # Bytes of file names that are not UTF-8 become "\udcff", which JSON reads back as in Python.
        return text.encode(errors="backslashreplace") + b"\n"

    def blocks(self, file: BinaryIO, *, is_whole: bool) -> Iterator[Block]:
        del is_whole  # which every line tells by itself
        start = 0
        for line in _lines_of(file):
            end = start + len(line)
            # Parsing the whole line would take ten times as long.
            if not line.startswith(_INDEX):
                raise ValueError(f"the line at byte {start} does not begin with an index")
            index = int(line[len(_INDEX) : line.index(b",")])
            yield Block(index, start, end, b'"error": ' in line and "error" in json.loads(line))
            start = end


@dataclass(frozen=True)
class Csv:
    """Rows below a line of column names; those of one input follow each other.

    Args:
        columns: names; "index" and "video" are the first two, "error" is the last.
        rows_of: values of the columns between them, for each row of an input.
    """

    columns: Sequence[str]
    rows_of: Callable[[Record], Iterable[Sequence[object]]]

    @property
    def header(self) -> bytes:
        return _csv([self.columns])

    def encode(self, record: Record) -> bytes:
        place = [record["index"], record["video"]]
        if "error" in record:
            empty = [""] * (len(self.columns) - 3)
            return _csv([[*place, *empty, record["error"]]])
        return _csv([*place, *values, ""] for values in self.rows_of(record))

    def blocks(self, file: BinaryIO, *, is_whole: bool) -> Iterator[Block]:
        offset = 0

        def lines() -> Iterator[str]:
            nonlocal offset
            for line in _lines_of(file):
                offset += len(line)
                yield line.decode(errors="surrogateescape")

        rows = csv.reader(lines())
        if next(rows, None) != list(self.columns):
            raise ValueError(f"its columns are not {', '.join(self.columns)}")
        start, found = offset, None
        for row in rows:
            if len(row) != len(self.columns):
                if next(rows, None) is not None:
                    raise ValueError(f"the row at byte {start} has {len(row)} fields")
                break  # a kill has cut it
            index, is_error = int(row[0]), bool(row[-1])
            if found is not None and found.place != index:
                yield found
                found = None
            found = Block(index, start if found is None else found.start, offset, is_error)
            start = offset
        # The last input may lack rows, which nothing in the file tells.
        if found is not None and is_whole:
            yield found


def _lines_of(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file, without a last one that a kill has cut."""
    file.seek(0)
    rest = b""
    # Not the file's own lines, because it has no buffer.
    while chunk := file.read(1 << 20):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line + b"\n" for line in lines)


def _csv(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode(errors="surrogateescape")
