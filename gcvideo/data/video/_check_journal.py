"""A table on disk that a check of many videos goes on from."""

import csv
import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, fields
from pathlib import Path
from typing import NamedTuple, TextIO, cast, get_args

from gcvideo.data.listing._list_file import write_table
from gcvideo.data.video._checking import Status, VideoCheck

_COLUMNS = ("path", "size", "mtime_ns", *(field.name for field in fields(VideoCheck)))


class FileStamp(NamedTuple):
    """What changes with the content of a file.

    Args:
        size: in bytes.
        mtime_ns: time of the last change in nanoseconds.
    """

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, file: str | Path) -> "FileStamp | None":
        """The stamp of a file; None if it cannot be asked for."""
        try:
            status = Path(file).stat()
        except OSError:
            return None
        return cls(status.st_size, status.st_mtime_ns)


class CheckJournal:
    """Findings by file and stamp, in a CSV that gets each as it comes.

    A line cut off by an interruption is dropped when the journal is opened again.

    Args:
        file: in a folder that exists; need not exist itself.
    """

    def __init__(self, file: Path) -> None:
        self._known = dict(_rows(file))
        rows = ((path, *stamp, *astuple(check)) for path, (stamp, check) in self._known.items())
        write_table(file, _COLUMNS, rows)
        self._stream: TextIO = file.open(
            "a", encoding="utf-8", errors="surrogateescape", newline=""
        )
        self._writer = csv.writer(self._stream)

    def __enter__(self) -> "CheckJournal":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def recall(self, path: str, stamp: FileStamp | None) -> VideoCheck | None:
        """The finding on a file with this very stamp; None if it is to be checked.

        A file that could not be read is always tried again: it fails soon, and the cause may have
        been the disk, its permissions or a machine too busy.
        """
        known, check = self._known.get(path, (None, None))
        if check is None or stamp is None or known != stamp or check.status == "unreadable":
            return None
        return check

    def add(self, path: str, stamp: FileStamp | None, check: VideoCheck) -> None:
        """Write a finding to disk.

        Args:
            path: that it will be recalled by.
            stamp: taken before the file was read; None: nothing is written.
            check: the finding.
        """
        if stamp is not None:
            self._writer.writerow((path, *stamp, *astuple(check)))
            self._stream.flush()


def _rows(file: Path) -> Iterator[tuple[str, tuple[FileStamp, VideoCheck]]]:
    if not file.exists():
        return
    text = file.read_bytes().decode("utf-8", "surrogateescape")
    whole = text[: text.rfind("\n") + 1]
    for row in csv.DictReader(io.StringIO(whole, newline="")):
        with suppress(KeyError, TypeError, ValueError):
            stamp = FileStamp(int(row["size"]), int(row["mtime_ns"]))
            yield row["path"], (stamp, _finding(row))


def _finding(row: dict[str, str]) -> VideoCheck:
    if row["status"] not in get_args(Status):
        raise ValueError(f"status is '{row['status']}'; delete the row")
    promised = row["num_promised"]
    return VideoCheck(
        status=cast(Status, row["status"]),
        reason=row["reason"],
        num_frames=int(row["num_frames"]),
        num_promised=int(promised) if promised else None,
        damaged_packets=int(row["damaged_packets"]),
        corrupt_frames=int(row["corrupt_frames"]),
        fps=float(row["fps"]),
        width=int(row["width"]),
        height=int(row["height"]),
        sample_aspect_ratio=row["sample_aspect_ratio"],
        remarks=row["remarks"],
    )
