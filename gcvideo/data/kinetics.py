"""The official Kinetics lists: YouTube ids and seconds instead of file names."""

import csv
import os
import sys
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

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
        ValueError: if a time is no whole number of seconds.
    """
    clips = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row_number, row in enumerate(csv.DictReader(file), start=2):
            try:
                start, end = int(row["time_start"]), int(row["time_end"])
            except (TypeError, ValueError):
                raise ValueError(
                    f"{path}, row {row_number}: time_start is {row['time_start']!r} and time_end "
                    f"{row['time_end']!r}, but both must be whole seconds; use the official CSV"
                ) from None
            # Without intern, each row would hold texts of its own.
            label, split = sys.intern(row["label"]), sys.intern(row.get("split") or "")
            clips.append(KineticsClip(label, row["youtube_id"], start, end, split))
    return clips


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
