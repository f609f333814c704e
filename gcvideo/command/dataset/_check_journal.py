"""Findings on disk, from which an interrupted check continues."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from gcvideo.data import VideoCheck, write_text
from gcvideo.data.video._frame_index import FileStamp


class CheckJournal:
    """Findings by path and file stamp, appended to a file of JSON lines; cut-off lines are dropped."""

    def __init__(self, file: Path) -> None:
        self._known = dict(_lines(file))
        write_text(file, "".join(_line(path, *known) for path, known in self._known.items()))
        self._stream = file.open("a", encoding="utf-8")

    def __enter__(self) -> "CheckJournal":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def recall(self, path: str, stamp: FileStamp | None) -> VideoCheck | None:
        """The finding for a file with this stamp; None if it must be checked.

        A file that could not be read is always tried again: it fails quickly, and the cause may have
        been the disk, permissions or a busy machine.
        """
        known, check = self._known.get(path, (None, None))
        if check is None or stamp is None or known != stamp or check.status == "unreadable":
            return None
        return check

    def add(self, path: str, stamp: FileStamp | None, check: VideoCheck) -> None:
        """Write a finding to disk, unless the file had no stamp."""
        if stamp is not None:
            self._stream.write(_line(path, stamp, check))
            self._stream.flush()


def _line(path: str, stamp: FileStamp, check: VideoCheck) -> str:
    return json.dumps([path, stamp, asdict(check)]) + "\n"


def _lines(file: Path) -> Iterator[tuple[str, tuple[FileStamp, VideoCheck]]]:
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        with suppress(TypeError, ValueError):
            path, stamp, check = json.loads(line)
            yield path, (FileStamp(*stamp), VideoCheck(**check))
