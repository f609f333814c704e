"""What has been found out about videos, on disk from the moment it is known."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

from gcvideo.data import write_text
from gcvideo.data.video._frame_index import FileStamp

F = TypeVar("F")


class Findings(Generic[F]):
    """Findings by path and file stamp, as they stand in a file of JSON lines; lines cut off are left out.

    Args:
        file: file to read, which need not exist.
        kind: dataclass of the findings.
    """

    def __init__(self, file: Path, kind: type[F]) -> None:
        self._known = dict(_lines(file, kind))

    def recall(self, path: str, stamp: FileStamp | None) -> F | None:
        """The finding for a file with this stamp; None if there is none, or no stamp."""
        known, finding = self._known.get(path, (None, None))
        return finding if stamp is not None and known == stamp else None

    def current(self, stamps: Mapping[str, FileStamp | None]) -> dict[str, F]:
        """The findings, by path, for files with these stamps."""
        return {
            path: finding
            for path, (stamp, finding) in self._known.items()
            if stamps.get(path) == stamp
        }


class Journal(Findings[F]):
    """Findings that grow, each of which is appended at once; the last one of a path counts."""

    def __init__(self, file: Path, kind: type[F]) -> None:
        super().__init__(file, kind)
        write_text(file, "".join(_line(path, *known) for path, known in self._known.items()))
        self._stream = file.open("a", encoding="utf-8")

    def __enter__(self) -> "Journal[F]":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def add(self, path: str, stamp: FileStamp | None, finding: F) -> None:
        """Write a finding to disk, unless the file had no stamp."""
        if stamp is not None:
            self._stream.write(_line(path, stamp, finding))
            self._stream.flush()


def _line(path: str, stamp: FileStamp, finding: Any) -> str:
    return json.dumps([path, stamp, asdict(finding)]) + "\n"


def _lines(file: Path, kind: type[F]) -> Iterator[tuple[str, tuple[FileStamp, F]]]:
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        with suppress(TypeError, ValueError):
            path, stamp, finding = json.loads(line)
            yield path, (FileStamp(*stamp), kind(**finding))
