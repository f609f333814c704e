"""The output of a live source, to which rows are appended as they come."""

import csv
from collections.abc import Mapping
from contextlib import suppress
from io import FileIO, StringIO
from pathlib import Path
from typing import Any, BinaryIO

from gcvideo._console import Console
from gcvideo.command._output_check import OutputError, telling
from gcvideo.command.results._row_file import lock, write_all
from gcvideo.command.results._row_layout import JsonLines

_CONSOLE = Console(stderr=True)
_MOST_WAITING_BYTES = 16 * 2**20

COLUMNS = ("video", "kind", "start_seconds", "end_seconds", "label", "name", "score", "note")
# What each of our files begins with.
_CSV_START = (",".join(COLUMNS) + "\r\n").encode()
_JSON_START = b'{"kind": "'


class LiveOutput:
    """Where the rows of a live source go, each of which has a "kind" and is a line of its own: nowhere."""

    def append(self, row: Mapping[str, Any]) -> None:
        """Write a row out at once."""

    def close(self) -> None:
        """End the output; OutputError if rows could not be written."""


def open_live_output(
    output: str | None, video: str, standard: BinaryIO | None = None
) -> LiveOutput:
    """The output of that name: a .jsonl or .csv file, "-" for JSON lines on the standard output, or none.

    ``standard`` is the standard output.

    Raises:
        OutputError: if the file cannot be written, or was not written here.
        RowFileError: if another process writes it.
    """
    if output is None:
        return LiveOutput()
    if standard is not None:
        return _StandardOutput(standard)
    return _LiveFile(Path(output), video)


class _StandardOutput(LiveOutput):
    """JSON lines on the standard output."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def append(self, row: Mapping[str, Any]) -> None:
        with telling(Path("-"), "output", remedy="keep its reader running, or name a file"):
            write_all(self._file, JsonLines().encode(row))


class _LiveFile(LiveOutput):
    """A file that grows by whole lines, whatever ends the process.

    Rows that cannot be written, since the disk is full, wait in memory for the next row, up to 16 MB.
    """

    def __init__(self, path: Path, video: str) -> None:
        self._path, self._video, self._waiting = path, video, bytearray()
        self._has_failed = False
        is_csv = path.suffix == ".csv"
        self._line = self._csv_line if is_csv else JsonLines().encode
        with telling(path, "output"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            self._file = FileIO(path, "r+")
            try:
                lock(self._file, path)
                self._size = _whole_lines(self._file, path, _CSV_START if is_csv else _JSON_START)
                self._file.truncate(self._size)
                if is_csv and self._size == 0:
                    self._waiting += _CSV_START
            except BaseException:
                self._file.close()
                raise

    def append(self, row: Mapping[str, Any]) -> None:
        self._waiting += self._line(row)
        try:
            with telling(self._path, "output"):
                self._write()
        except OutputError as error:
            if len(self._waiting) > _MOST_WAITING_BYTES:
                raise
            if not self._has_failed:
                text = (
                    f"warning: {error}; the prediction continues, and later rows bring these along"
                )
                _CONSOLE.print(text, soft_wrap=True)
            self._has_failed = True
            return
        if self._has_failed:
            _CONSOLE.print(
                f"'{self._path}' is written again, and no row is missing", soft_wrap=True
            )
        self._has_failed = False

    def close(self) -> None:
        try:
            with telling(self._path, "output"):
                self._write()
        finally:
            self._file.close()

    def _write(self) -> None:
        self._file.seek(self._size)
        try:
            write_all(self._file, bytes(self._waiting))
        except OSError:
            with suppress(OSError):
                self._file.truncate(self._size)  # no half line
            raise
        self._size += len(self._waiting)
        self._waiting.clear()

    def _csv_line(self, row: Mapping[str, Any]) -> bytes:
        best = row["classes"][0] if row["kind"] == "window" else row
        times = (_fixed(row.get(key), 3) for key in ("start_seconds", "end_seconds"))
        label, name, score = (best.get(key, "") for key in ("label", "name", "score"))
        cells = (self._video, row["kind"], *times, label, name, _fixed(score, 6), _note(row))
        text = StringIO()
        # A line break within a cell would look like the end of a row.
        csv.writer(text).writerow([" ".join(str(cell).splitlines()) for cell in cells])
        return text.getvalue().encode(errors="surrogateescape")


def _whole_lines(file: FileIO, path: Path, start: bytes) -> int:
    """Bytes of the whole lines of a file; OutputError unless they are those of a live source."""
    found = file.read(len(start))
    if found != start[: len(found)]:
        raise OutputError(
            f"output is '{path}', which exists and is not the {path.suffix} output of a live source; give "
            "another name, or remove it"
        )
    end = file.seek(0, 2)
    while end:
        begin = max(0, end - 65536)
        file.seek(begin)
        place = file.read(end - begin).rfind(b"\n")
        if place >= 0:
            return begin + place + 1
        end = begin
    return 0


def _fixed(number: Any, digits: int) -> str:
    return f"{number:.{digits}f}" if isinstance(number, float) else ""


def _note(row: Mapping[str, Any]) -> str:
    """What a row tells beyond the other columns."""
    if row["kind"] == "gap":
        return f"{row['utc']} {row['reason']}"
    if row["kind"] in ("window", "segment"):
        return row.get("utc", "")
    known = {"kind", "video", "start_seconds", "end_seconds"}
    return ", ".join(f"{key} {value}" for key, value in row.items() if key not in known)
