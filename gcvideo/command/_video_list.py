"""Which videos a word on the command line stands for."""

import glob
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from gcvideo.data.listing import _video_folder as video_folder

_LIST_SUFFIX = ".txt"


class FoundVideos(NamedTuple):
    """Videos, each once, and the reason by what was named and is not there."""

    videos: list[str]
    missing: dict[str, str]


def find_all_videos(patterns: Iterable[str]) -> FoundVideos:
    """Videos that several words stand for, as in :func:`find_videos`; what is missing costs only itself."""
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
            missing[row] = f"no video at {row!r}, which is row {number} of '{pattern}'"
    if not videos:
        raise FileNotFoundError("\n".join(missing.values()))
    return FoundVideos(list(videos), missing)


def find_videos(pattern: str) -> list[str]:
    """Videos that a file name, a folder (searched in depth), a glob or a list stands for.

    A list is a text file with one path a line, from the list's folder or else the working folder;
    blank lines and lines that begin with # are none. Its order is kept, others are sorted.

    Raises:
        FileNotFoundError: if there is none, or a list names something that is not a file.
    """
    found, lost = _find(pattern)
    if lost:
        raise _no_list(pattern, found, lost)
    return found


def _find(pattern: str) -> tuple[list[str], list[tuple[int, str]]]:
    """Videos, and the rows of a list that name none."""
    path = Path(pattern)
    if path.is_file():
        return _listed(path) if path.suffix.lower() == _LIST_SUFFIX else ([pattern], [])
    if path.is_dir():
        found = [path / below for below in video_folder.find_videos(path).paths]
    else:
        # Path.glob takes no absolute pattern.
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
    # Names of files need not be UTF-8.
    with file.open(encoding="utf-8-sig", errors="surrogateescape") as rows:
        for number, row in enumerate(map(str.strip, rows), start=1):
            found = next((p for p in (file.parent / row, Path(row)) if row and _is_file(p)), None)
            if found is not None:
                videos.append(str(found))
            elif row and not row.startswith("#"):
                missing.append((number, row[:200]))
    if missing and not videos:
        raise _no_list(str(file), videos, missing)
    if not videos:
        raise FileNotFoundError(f"the list '{file}' names no video; write one path a line")
    return videos, missing


def _no_list(file: str, videos: list[str], missing: list[tuple[int, str]]) -> FileNotFoundError:
    number, row = missing[0]
    return FileNotFoundError(
        f"{len(missing)} of the {len(missing) + len(videos)} rows of '{file}' name no file, the first "
        f"row {number}, {row!r}; write one path a line and nothing else, from the list's folder or the "
        "working folder"
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False
