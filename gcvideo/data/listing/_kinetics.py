"""The official Kinetics lists: YouTube ids and seconds instead of file names."""

import os
import sys
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from gcvideo.data.listing._table_file import WINDOWS, Table, find_encoding, open_text

KINETICS_COLUMNS = frozenset({"label", "youtube_id", "time_start", "time_end"})


class KineticsClip(NamedTuple):
    """One row of an official list: a span of seconds of a YouTube video and its class."""

    label: str
    youtube_id: str
    time_start: int
    time_end: int
    split: str


def read_kinetics(path: Path) -> list[KineticsClip]:
    """Rows of an official CSV (label, youtube_id, time_start, time_end, split).

    Raises:
        ValueError: if a row has no label, or a time is no whole number of seconds.
    """
    with open_text(path, find_encoding(path) or WINDOWS) as stream:
        return kinetics_clips(Table(path, stream))


def kinetics_clips(table: Table) -> list[KineticsClip]:
    """Rows of a table that has the columns of an official CSV; errors as of ``read_kinetics``."""
    label, youtube_id, time_start, time_end = map(
        table.columns.index, ("label", "youtube_id", "time_start", "time_end")
    )
    split = table.find(("split",))
    clips = []
    for number, row in table:
        if not row[label]:
            raise ValueError(f"{table.file}, row {number} has no label; complete or delete it")
        try:
            start, end = _seconds(row[time_start]), _seconds(row[time_end])
        except ValueError:
            raise ValueError(
                f"{table.file}, row {number}: time_start is {row[time_start] or None!r} and "
                f"time_end {row[time_end] or None!r}, but both must be whole seconds; use the official CSV"
            ) from None
        # Without intern, each row would hold texts of its own.
        texts = sys.intern(row[label]), "" if split is None else sys.intern(row[split])
        clips.append(KineticsClip(texts[0], row[youtube_id], start, end, texts[1]))
    return clips


def _seconds(text: str) -> int:
    # pandas writes whole numbers of a column with gaps as 12.0.
    return int(text.removesuffix(".0"))


def find_clips(
    clips: Sequence[KineticsClip], root: Path, suffixes: Collection[str]
) -> list[str | None]:
    """The file of each clip relative to ``root``, None where there is none.

    Looks for ``{id}_{start:06d}_{end:06d}`` and ``{id}``, in ``root``, in a folder named like the
    split, and in one named like the class, with spaces or underscores, in either. Every folder is
    listed once; no file is looked up singly.

    Args:
        clips: rows of the official list.
        root: folder of the videos.
        suffixes: lower-case endings of video files.

    Raises:
        FileNotFoundError: if no clip at all is found.
    """

    @cache
    def videos(folder: str) -> dict[str, str]:
        if not (root / folder).is_dir():
            return {}
        # A Path for each of 650,000 files would take 4 s and half a gigabyte.
        names = map(os.path.splitext, sorted(os.listdir(root / folder)))  # noqa: PTH208
        return {
            stem: os.path.join(folder, stem + suffix)  # noqa: PTH118
            for stem, suffix in names
            if suffix.lower() in suffixes
        }

    @cache
    def places(label: str, split: str) -> list[dict[str, str]]:
        return [found for folder in _folders(label, split) if (found := videos(folder))]

    def find(clip: KineticsClip) -> str | None:
        timed = _timed(clip)
        for files in places(clip.label, clip.split):
            if file := files.get(timed) or files.get(clip.youtube_id):
                return file
        return None

    found = [find(clip) for clip in clips]
    if clips and not any(found):
        raise FileNotFoundError(
            f"none of the {len(clips)} Kinetics clips is in '{root}'; tried "
            f"'{root / _timed(clips[0])}.mp4' first; set root (data.root) to the folder of the videos"
        )
    return found


def _timed(clip: KineticsClip) -> str:
    return f"{clip.youtube_id}_{clip.time_start:06d}_{clip.time_end:06d}"


def _folders(label: str, split: str) -> list[str]:
    """Where clips may lie, below the root; the root itself is ''."""
    paths = (
        str(Path(above, folder))
        for above in ("", split)
        for folder in ("", label, label.replace(" ", "_"))
    )
    return ["" if path == "." else path for path in dict.fromkeys(paths)]
