"""The videos that a word on the command line stands for."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from gcvideo.data.listing import _video_folder as video_folder

_LIST_SUFFIX = ".txt"


def find_all_videos(patterns: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """The videos for several patterns, each once, and an error message for each one that is missing."""
    videos: dict[str, None] = {}
    missing: dict[str, str] = {}
    for pattern in patterns:
        try:
            found, lost = _find(pattern)
        except FileNotFoundError as error:
            missing[pattern] = str(error)
            continue
        videos |= dict.fromkeys(found)
        for number, row in lost:
            missing[row] = f"no video at {row!r} (row {number} of '{pattern}')"
    if not videos:
        raise FileNotFoundError("\n".join(missing.values()))
    return list(videos), missing


def find_videos(pattern: str) -> list[str]:
    """The videos for a file name, a folder (searched recursively), a glob or a list.

    A list is a text file with one path per line, relative to the list's folder or else to the working
    folder, and with blank lines and comments (#). The order of a list is kept; other videos are sorted.
    FileNotFoundError if there are no videos, or a list names something that is not a file.
    """
    found, lost = _find(pattern)
    if lost:
        raise _no_list(pattern, found, lost)
    return found


def _find(pattern: str) -> tuple[list[str], list[tuple[int, str]]]:
    """The videos, and the rows of a list that name no file."""
    path = Path(pattern)
    if path.is_file():
        return _listed(path) if path.suffix.lower() == _LIST_SUFFIX else ([pattern], [])
    if path.is_dir():
        found = [path / below for below in video_folder.find_videos(path).paths]
    else:
        # Path.glob does not accept absolute patterns.
        matches = glob.glob(pattern, recursive=True)  # noqa: PTH207
        found = [p for p in map(Path, matches) if p.is_file()]
    if not found:
        raise FileNotFoundError(
            f"no video at '{pattern}'; give a file, a folder with videos, a quoted glob like "
            "'clips/*.mp4', a list of paths (.txt), or the URL of a stream"
        )
    return sorted(str(p) for p in found), []


def _listed(file: Path) -> tuple[list[str], list[tuple[int, str]]]:
    videos: list[str] = []
    missing: list[tuple[int, str]] = []
    # File names are not always UTF-8. Path.is_file raises for a row that is too long to be a path.
    with file.open(encoding="utf-8-sig", errors="surrogateescape") as rows:
        for number, row in enumerate(map(str.strip, rows), start=1):
            places = (file.parent / row, Path(row)) if row else ()
            found = next(filter(os.path.isfile, places), None)
            if found is not None:
                videos.append(str(found))
            elif row and not row.startswith("#"):
                missing.append((number, row[:200]))
    if missing and not videos:
        raise _no_list(str(file), videos, missing)
    if not videos:
        raise FileNotFoundError(f"the list '{file}' names no video; write one path per line")
    return videos, missing


def _no_list(file: str, videos: list[str], missing: list[tuple[int, str]]) -> FileNotFoundError:
    number, row = missing[0]
    return FileNotFoundError(
        f"{len(missing)} of the {len(missing) + len(videos)} rows of '{file}' name no file, the first "
        f"row {number}, {row!r}; write one path per line and nothing else, relative to the list's folder "
        "or the working folder"
    )
