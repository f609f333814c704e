"""The official Kinetics lists, with YouTube ids and seconds, and which of their clips are on disk."""

import os
import re
import sys
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from gcvideo._invocation import command_line
from gcvideo.data.listing._table_file import FILE_NAMES, Table, open_text
from gcvideo.data.listing._video_folder import is_video_name, split_name

_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
KINETICS_COLUMNS = frozenset(_COLUMNS)
_FILE_NAME = re.compile(r"[\w -]+")


class KineticsClip(NamedTuple):
    """One row of an official list: a span of seconds of a YouTube video and its class."""

    label: str
    youtube_id: str
    time_start: int
    time_end: int
    split: str

    @property
    def timed_name(self) -> str:
        """The usual name of its file, without the suffix."""
        return f"{self.youtube_id}_{self.time_start:06d}_{self.time_end:06d}"


def kinetics_clips(table: Table) -> list[KineticsClip]:
    """Rows of a table that has the columns of an official CSV."""
    label, youtube_id, time_start, time_end = map(table.columns.index, _COLUMNS)
    split = table.find(("split",))
    clips = []
    for number, row in table:
        if not row[label]:
            raise ValueError(f"{table.file}, row {number} has no label; complete or delete it")
        try:
            # pandas writes whole numbers of a column with gaps as 12.0.
            start, end = (int(row[i].removesuffix(".0")) for i in (time_start, time_end))
        except ValueError:
            raise ValueError(
                f"{table.file}, row {number}: time_start is {row[time_start] or None!r} and "
                f"time_end {row[time_end] or None!r}, but both must be whole seconds; use the official CSV"
            ) from None
        # Without intern, each row would hold its own texts.
        texts = sys.intern(row[label]), "" if split is None else sys.intern(row[split])
        clips.append(KineticsClip(texts[0], row[youtube_id], start, end, texts[1]))
    return clips


def find_clips(clips: Sequence[KineticsClip], root: Path) -> list[str | None]:
    """The file of each clip relative to ``root``, None if there is none.

    Looks for ``{id}_{start:06d}_{end:06d}`` and ``{id}``, in ``root``, in a folder named after the
    split, and in one named after the class, with spaces or underscores, in either. Every folder is
    listed once; no file is looked up individually.
    """

    @cache
    def videos(folder: str) -> dict[str, str]:
        if not (root / folder).is_dir():
            return {}
        # A Path for each of 650,000 files would take 4 s and half a gigabyte.
        names = filter(is_video_name, sorted(os.listdir(root / folder)))  # noqa: PTH208
        return {name[: name.rfind(".")]: os.path.join(folder, name) for name in names}  # noqa: PTH118

    @cache
    def places(label: str, split: str) -> list[dict[str, str]]:
        paths = (
            Path(above, folder)
            for above in ("", split)
            for folder in ("", label, label.replace(" ", "_"))
        )
        folders = dict.fromkeys("" if path == Path() else str(path) for path in paths)
        return [found for folder in folders if (found := videos(folder))]

    def find(clip: KineticsClip) -> str | None:
        timed = clip.timed_name
        for files in places(clip.label, clip.split):
            if file := files.get(timed) or files.get(clip.youtube_id):
                return file
        return None

    found = [find(clip) for clip in clips]
    if clips and not any(found):
        raise FileNotFoundError(
            f"none of the {len(clips)} Kinetics clips is in '{root}'; tried "
            f"'{root / clips[0].timed_name}.mp4' first; set root (data.root) to the folder of the videos"
        )
    return found


class ListedClip(NamedTuple):
    """A row of an official list and its file, relative to the root; a bad one cannot be used.

    The row may call its ``split`` differently: "validate" for val.
    """

    clip: KineticsClip
    split: str
    path: str | None = None
    status: Literal["found", "missing", "bad"] = "missing"


def listed_clips(file: Path, split: str | None = None) -> list[ListedClip]:
    """Rows of an official Kinetics CSV; rows without a split get ``split``, else the name of the file."""
    if not file.is_file():
        raise FileNotFoundError(f"there is no file '{file}'; give csv= an official Kinetics CSV")
    with open_text(file) as stream:
        table = Table(file, stream)
        if lacking := sorted(KINETICS_COLUMNS - set(table.columns)):
            raise ValueError(
                f"{file} has the columns {', '.join(table.headings) or '(none)'}, but an official "
                f"Kinetics CSV also has {', '.join(lacking)}; give csv= such a file"
            )
        clips = kinetics_clips(table)
    default = split or split_name(file.stem) or ""
    listed = []
    for number, clip in enumerate(clips, start=2):
        if not clip.split and default not in {"train", "val", "test"}:
            raise ValueError(
                f"{file}, row {number} has no split; name the file train.csv, val.csv or test.csv, or "
                "give split="
            )
        name = split_name(clip.split) or clip.split or default
        if not _FILE_NAME.fullmatch(name):
            raise ValueError(
                f"{file}, row {number}: the split '{name}' cannot name a file; use train, val or test"
            )
        listed.append(ListedClip(clip, name))
    return listed


def match_clips(
    listed: Sequence[ListedClip], root: Path, bad: Collection[str] = ()
) -> list[ListedClip]:
    """The clips with their files; empty ones and those in ``bad``, absolute or below ``root``, are bad."""
    if not root.is_dir():
        raise FileNotFoundError(f"root is '{root}', which is not a folder; give the videos' folder")
    known_bad = {_absolute(root, path) for path in bad}

    def match(row: ListedClip, path: str | None) -> ListedClip:
        if path is None:
            return row
        # False for a broken link too.
        has_content = os.path.isfile(root / path) and os.path.getsize(root / path)  # noqa: PTH113, PTH202
        is_found = has_content and _absolute(root, path) not in known_bad
        return row._replace(path=path, status="found" if is_found else "bad")

    return list(map(match, listed, find_clips([row.clip for row in listed], root)))


def _absolute(root: Path, path: str) -> str:
    return os.path.abspath(root / path)  # noqa: PTH100 - does not resolve links


def read_unreadable(table: Path) -> list[str]:
    """Paths of the unreadable videos in a ``bad_videos.csv`` of a check; damaged ones are usable."""
    remedy = f"give bad= the bad_videos.csv that `{command_line('check')}` wrote"
    if not table.is_file():
        raise FileNotFoundError(f"there is no file '{table}'; {remedy}")
    with open_text(table, FILE_NAMES) as stream:
        rows = Table(table, stream)
        path, status = rows.find(("path",)), rows.find(("status",))
        if path is None or status is None:
            raise ValueError(
                f"{table} has the columns {', '.join(rows.headings) or '(none)'}, but needs path and "
                f"status; {remedy}"
            )
        return [row[path] for _, row in rows if row[status] == "unreadable"]
