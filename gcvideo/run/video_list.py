"""Which videos a word on the command line stands for."""

import glob
from pathlib import Path

from gcvideo.data import class_folder

_LIST_SUFFIX = ".txt"


def find_videos(pattern: str) -> list[str]:
    """Videos that a file name, a folder (searched in depth), a glob or a list stands for.

    A list is a text file with one path a line, from the list's folder or else the working folder;
    blank lines and lines that begin with # are none. Its order is kept, others are sorted.

    Raises:
        FileNotFoundError: if there is none, or a list names what is no file.
    """
    path = Path(pattern)
    if path.is_file():
        return _listed(path) if path.suffix.lower() == _LIST_SUFFIX else [pattern]
    if path.is_dir():
        found = [path / below for below in class_folder.find_videos(path).paths]
    else:
        # Path.glob takes no absolute pattern.
        matches = glob.glob(pattern, recursive=True)  # noqa: PTH207
        found = [p for p in map(Path, matches) if p.is_file()]
    if not found:
        raise FileNotFoundError(
            f"no video at '{pattern}'; give a file, a folder with videos, a quoted glob like "
            "'clips/*.mp4', a list of paths (.txt), or the URL of a stream"
        )
    return sorted(str(p) for p in found)


def _listed(file: Path) -> list[str]:
    videos: list[str] = []
    missing: list[str] = []
    # Names of files need not be UTF-8.
    with file.open(encoding="utf-8-sig", errors="surrogateescape") as rows:
        for number, row in enumerate(map(str.strip, rows), start=1):
            found = next((p for p in (file.parent / row, Path(row)) if row and _is_file(p)), None)
            if found is not None:
                videos.append(str(found))
            elif row and not row.startswith("#"):
                missing.append(f"row {number}, {row[:200]!r}")
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of the {len(missing) + len(videos)} rows of '{file}' name no file, the first "
            f"{missing[0]}; write one path a line and nothing else, from the list's folder or the "
            "working folder"
        )
    if not videos:
        raise FileNotFoundError(f"the list '{file}' names no video; write one path a line")
    return videos


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False
