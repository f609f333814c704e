"""The official Kinetics lists: YouTube ids and seconds instead of file names."""

import csv
from collections.abc import Collection, Iterator, Sequence
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
            except ValueError:
                raise ValueError(
                    f"{path}, row {row_number}: time_start is {row['time_start']!r} and time_end "
                    f"{row['time_end']!r}, but both must be whole seconds; use the official CSV"
                ) from None
            split = row.get("split") or ""
            clips.append(KineticsClip(row["label"], row["youtube_id"], start, end, split))
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
        files = sorted((root / folder).iterdir())
        return {file.stem: file.name for file in files if file.suffix.lower() in suffixes}

    def find(clip: KineticsClip) -> str | None:
        for folder, stem in _places(clip):
            name = videos(folder).get(stem)
            if name is not None:
                return str(Path(folder) / name)
        return None

    found = [find(clip) for clip in clips]
    if clips and not any(found):
        folder, stem = next(_places(clips[0]))
        raise FileNotFoundError(
            f"none of the {len(clips)} Kinetics clips is in '{root}'; tried "
            f"'{root / folder / stem}.mp4' first; set data.root to the folder of the videos"
        )
    return found


def _places(clip: KineticsClip) -> Iterator[tuple[str, str]]:
    timed = f"{clip.youtube_id}_{clip.time_start:06d}_{clip.time_end:06d}"
    for above in dict.fromkeys(("", clip.split)):
        for folder in ("", clip.label, clip.label.replace(" ", "_")):
            for stem in (timed, clip.youtube_id):
                yield str(Path(above, folder)), stem
