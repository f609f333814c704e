"""Which clips of the official Kinetics lists are on disk, class by class."""

import csv
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from gcvideo._invocation import command_line
from gcvideo.data.listing._class_folder import VIDEO_SUFFIXES
from gcvideo.data.listing._kinetics import (
    KINETICS_COLUMNS,
    KineticsClip,
    find_clips,
    read_kinetics,
)
from gcvideo.data.listing._split_folder import split_name
from gcvideo.data.listing._table_file import WINDOWS, Table, find_encoding, open_text

_FILE_NAME = re.compile(r"[\w -]+")


class ListedClip(NamedTuple):
    """A row of an official list.

    Args:
        clip: as it stands there; its split may be called otherwise, "validate" for val.
        split: train, val, test, or what else the list calls it.
    """

    clip: KineticsClip
    split: str


class MatchedClip(NamedTuple):
    """A row of an official list and its file.

    Args:
        listed: the row.
        path: of its file, relative to the root; None if missing.
        status: found: there and usable; bad: there but empty or known as unreadable; missing.
    """

    listed: ListedClip
    path: str | None
    status: Literal["found", "missing", "bad"]


@dataclass(frozen=True)
class Coverage:
    """Numbers of clips; ``listed = found + missing + bad``.

    Args:
        found: whose file is there and not known as bad.
        missing: without a file.
        bad: whose file is empty or known as unreadable.
    """

    found: int
    missing: int
    bad: int

    @classmethod
    def of(cls, clips: Iterable[MatchedClip]) -> "Coverage":
        """Of all ``clips`` together."""
        count = Counter(clip.status for clip in clips)
        return cls(count["found"], count["missing"], count["bad"])

    @property
    def listed(self) -> int:
        return self.found + self.missing + self.bad

    @property
    def fraction(self) -> float:
        """``found / listed``; 1 where nothing is listed."""
        return self.found / self.listed if self.listed else 1.0


def listed_clips(table: Path, split: str | None = None) -> list[ListedClip]:
    """Rows of an official Kinetics CSV.

    Args:
        table: the CSV.
        split: of rows that name none; None: the name of the file, such as ``val.csv``, tells.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no official CSV, or a row has no class or no split.
    """
    if not table.is_file():
        raise FileNotFoundError(f"there is no file '{table}'; give csv= an official Kinetics CSV")
    with open_text(table, find_encoding(table) or WINDOWS) as stream:
        found = Table(table, stream)
    if lacking := sorted(KINETICS_COLUMNS - set(found.columns)):
        raise ValueError(
            f"{table} has the columns {', '.join(found.headings) or '(none)'}, but an official Kinetics CSV "
            f"has {', '.join(lacking)} too; give csv= such a file"
        )
    return list(_rows(table, split or _split_name(table.stem)))


def _rows(table: Path, default: str) -> Iterator[ListedClip]:
    known = {"train", "val", "test"}
    for number, clip in enumerate(read_kinetics(table), start=2):
        if not clip.split and default not in known:
            raise ValueError(
                f"{table}, row {number} has no split; name the file train.csv, val.csv or test.csv, "
                "or give split="
            )
        split = _split_name(clip.split) if clip.split else default
        if not _FILE_NAME.fullmatch(split):
            raise ValueError(
                f"{table}, row {number}: the split '{split}' cannot name a file; use train, val or test"
            )
        yield ListedClip(clip, split)


def _split_name(text: str) -> str:
    return split_name(text) or text


def match_clips(
    listed: Sequence[ListedClip], root: Path, bad: Collection[str] = ()
) -> list[MatchedClip]:
    """The file of each clip, found as :func:`~gcvideo.data.read_annotations` finds it.

    Args:
        listed: rows of the official lists.
        root: folder of the videos.
        bad: unreadable files, relative to ``root`` or absolute.

    Raises:
        FileNotFoundError: if ``root`` is no folder or holds none of the clips.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"root is '{root}', which is no folder; give the videos' folder")
    known_bad = {_absolute(root, path) for path in bad}
    paths = find_clips([row.clip for row in listed], root, VIDEO_SUFFIXES)

    def match(row: ListedClip, path: str | None) -> MatchedClip:
        if path is None:
            return MatchedClip(row, None, "missing")
        is_bad = _absolute(root, path) in known_bad or not _has_content(root / path)
        return MatchedClip(row, path, "bad" if is_bad else "found")

    return [match(row, path) for row, path in zip(listed, paths, strict=True)]


def _absolute(root: Path, path: str) -> str:
    return os.path.abspath(root / path)  # noqa: PTH100 - links stay as they are


def _has_content(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except OSError:  # a link to nowhere
        return False


def read_unreadable(table: Path) -> list[str]:
    """Paths of the unreadable videos in a ``bad_videos.csv`` of a check; damaged ones are usable.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it lacks a column path or status.
    """
    if not table.is_file():
        raise FileNotFoundError(
            f"there is no file '{table}'; give bad= the bad_videos.csv that `{command_line('check')}` wrote"
        )
    with table.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.DictReader(file)
        columns = rows.fieldnames or ()
        if not {"path", "status"}.issubset(columns):
            raise ValueError(
                f"{table} has the columns {', '.join(columns) or '(none)'}, but needs path and "
                f"status; give bad= the bad_videos.csv that `{command_line('check')}` wrote"
            )
        return [row["path"] for row in rows if row["status"] == "unreadable"]
