"""The videos that words on the command line stand for."""

import glob
import os
import sys
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from jaxtyping import Int64

from gcvideo.data.listing import _video_folder as video_folder
from gcvideo.data.listing._path_list import PathList
from gcvideo.data.listing._table_file import Table, open_text

_LIST_SUFFIXES = (".txt", ".csv", ".tsv")
_PATH_COLUMNS = ("video", "path", "file", "filename", "file_name", "video_path")
STANDARD_INPUT = "-"
_NUM_SHOWN = 10
_NUM_AT_ONCE = 10_000


class _Missing(NamedTuple):
    name: str
    reason: str
    number: int | None = None  # of the row in a list


@dataclass(frozen=True)
class VideoInputs:
    """Videos in the order of the words, each once.

    Args:
        paths: paths, and in their places names for which there is no video.
        missing: what is wrong with those, by place.
    """

    paths: PathList
    missing: dict[int, str]


def find_all_videos(patterns: Iterable[str]) -> VideoInputs:
    """The videos for several words, each as for :func:`find_videos`; a name of no file takes its place alone.

    Raises:
        FileNotFoundError: if there is no video at all.
    """
    missing: dict[int, str] = {}
    hashes = array("q")

    def paths() -> Iterator[str]:
        rows = chain.from_iterable(map(_find, patterns))
        while chunk := list(islice(rows, _NUM_AT_ONCE)):
            for place, row in enumerate(chunk):
                if type(row) is _Missing:
                    missing[len(hashes) + place] = row.reason
                    chunk[place] = row.name
            hashes.extend(map(hash, chunk))
            yield from cast(list[str], chunk)

    found = PathList.of(paths())
    if len(missing) == len(found):
        shown = list(missing.values())[:_NUM_SHOWN]
        more = f"\nand {len(missing) - len(shown)} more" if len(missing) > len(shown) else ""
        raise FileNotFoundError("\n".join(shown) + more if shown else "no video is given")
    kept = _first_places(found, np.frombuffer(hashes, np.int64))
    if kept is not None:
        reasons = [missing.get(place) for place in kept]
        found = found.take(kept)
        missing = {place: reason for place, reason in enumerate(reasons) if reason is not None}
    return VideoInputs(found, missing)


def find_videos(pattern: str) -> list[str]:
    """The videos for a file name, a folder (searched recursively), a glob, a list, or "-".

    A list is a text file with one path per line, and with blank lines and comments (#), or a table (.csv,
    .tsv) with a column "video" or "path". Its paths are relative to the list's folder or else to the working
    folder. "-" is a list on the standard input. The order of a list is kept; other videos are sorted.
    FileNotFoundError if there are no videos, or a list names something that is not a file.
    """
    found = list(_find(pattern))
    lost = [row for row in found if isinstance(row, _Missing)]
    if not lost:
        return [path for path in found if isinstance(path, str)]
    if lost[0].number is None:
        raise FileNotFoundError(lost[0].reason)
    raise FileNotFoundError(
        f"{len(lost)} of the {len(found)} rows of '{pattern}' name no file, the first row {lost[0].number}, "
        f"{lost[0].name!r}; write one path per line and nothing else, relative to the list's folder or the "
        "working folder"
    )


def _first_places(paths: PathList, hashes: Int64[np.ndarray, " n"]) -> list[int] | None:
    """Places of the paths that do not stand further up; None if these are all."""
    # A set of a million texts would take more memory than the list itself.
    order = np.sort(hashes)
    repeated = set(order[1:][order[1:] == order[:-1]].tolist())
    if not repeated:
        return None
    seen: set[str] = set()
    kept = []
    for place, key in enumerate(hashes.tolist()):
        if key in repeated:
            if paths[place] in seen:
                continue
            seen.add(paths[place])
        kept.append(place)
    return kept


def _find(pattern: str) -> Iterator[str | _Missing]:
    path = Path(pattern)
    if pattern == STANDARD_INPUT:
        yield from _listed("the standard input", Path(), _lines_of_input())
    elif path.is_file():
        if path.suffix.lower() in _LIST_SUFFIXES:
            yield from _listed(f"'{pattern}'", path.parent, _lines_of_list(path))
        else:
            yield pattern
    elif path.is_dir():
        prefix = _prefix(path)
        found = video_folder.find_videos(path).paths
        yield from map(prefix.__add__, found) if found else [_nothing(pattern)]
    else:
        # Path.glob does not accept absolute patterns.
        found = sorted(filter(os.path.isfile, glob.glob(pattern, recursive=True)))  # noqa: PTH207
        yield from found or [_nothing(pattern)]


def _prefix(folder: Path) -> str:
    """What makes names in a folder to paths; joining a million of them by Path would take seconds."""
    return "" if str(folder) == "." else os.path.join(folder, "")  # noqa: PTH118


def _nothing(pattern: str) -> _Missing:
    return _Missing(
        pattern,
        f"no video at '{pattern}'; give a file, a folder with videos, a quoted glob like 'clips/*.mp4', a "
        "list of paths (.txt, .csv), - for paths on the standard input, or the URL of a stream",
    )


def _listed(name: str, folder: Path, lines: Iterator[tuple[int, str]]) -> Iterator[str | _Missing]:
    is_empty, prefix, is_file = True, _prefix(folder), os.path.isfile
    for number, text in lines:
        # A row that is too long to be a path is none, and no error.
        if text[0] != os.sep and is_file(prefix + text):
            yield prefix + text
        elif is_file(text):
            yield text
        elif text.startswith("#"):
            continue
        else:
            text = text[:200]
            yield _Missing(text, f"no video at {text!r} (row {number} of {name})", number)
        is_empty = False
    if is_empty:
        yield _Missing(name, f"the list {name} names no video; write one path per line")


def _lines_of_list(file: Path) -> Iterator[tuple[int, str]]:
    """Number and text of the rows of a list that name a video."""
    if file.suffix.lower() == ".txt":
        # File names are not always UTF-8.
        with file.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
            yield from _named(lines)
        return
    with open_text(file) as lines:
        table = Table(file, lines)
        column = table.find(_PATH_COLUMNS)
        if column is None:
            raise ValueError(
                f"'{file}' has the columns {', '.join(table.headings)}; name that of the paths 'video' or "
                "'path'"
            )
        for number, fields in table:
            if fields[column]:
                yield number, fields[column]


def _lines_of_input() -> Iterator[tuple[int, str]]:
    if sys.stdin is None or sys.stdin.isatty():
        raise ValueError(
            "video is -, but nothing is sent to the standard input; use it behind a pipe, as in "
            "`find clips -name '*.mp4' | gcvideo predict CHECKPOINT -`"
        )
    with _surrogates(sys.stdin) as lines:
        yield from _named(lines)


@contextmanager
def _surrogates(stream: object) -> Iterator[Iterable[str]]:
    """The lines of a text stream, in which bytes that are not UTF-8 may stand for those of file names."""
    buffer = getattr(stream, "buffer", None)
    if buffer is None:  # of a test or a notebook
        yield stream  # pyright: ignore[reportReturnType]
    else:
        yield (line.decode("utf-8", "surrogateescape") for line in buffer)


def _named(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(map(str.strip, lines), start=1):
        if line:
            yield number, line
