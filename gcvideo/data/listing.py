"""Rows of folders, text lists and tables, as they stand there."""

import csv
import re
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from gcvideo.data.kinetics import KINETICS_COLUMNS, find_clips, read_kinetics

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"}
    | {".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv"}
)
INTEGER = re.compile(r"-?[0-9]+")
_PATH_COLUMNS = ("path", "file", "video", "filename")
_LABEL_COLUMNS = ("label", "class", "class_name")
SPLIT_NAMES = {"training": "train", "validate": "val", "validation": "val", "testing": "test"}


@dataclass(frozen=True)
class Listing:
    """Rows in columns, with each label's text once; an object a row would take 400 bytes.

    Args:
        paths: None where the file of a row is not there (Kinetics only).
        numbers: of the rows, as error messages count them.
        codes: label of each row, as its place in ``texts``.
        texts: labels as they are written.
        classes: names that the source itself gives, of all its splits, in label order.
        from_file: whether one file says it all, so that the same bytes are the same listing.
    """

    paths: Sequence[str | None]
    numbers: Int64[np.ndarray, " n"]
    codes: Int64[np.ndarray, " n"]
    texts: tuple[str, ...]
    classes: tuple[str, ...]
    from_file: bool

    def __len__(self) -> int:
        return len(self.paths)

    def label(self, row: int) -> str:
        """The label of a row as it is written."""
        return self.texts[self.codes[row]]


def read_listing(place: Path, root: Path, split: str | None) -> Listing:
    """The rows of a folder, a text list, a table or an official Kinetics CSV.

    Args:
        place: the folder or file.
        root: folder that relative paths of videos start from.
        split: rows of a table to take, if it has a column split.

    Raises:
        FileNotFoundError: if every Kinetics clip is missing.
        ValueError: naming the row that lacks something.
    """
    if place.is_dir():
        return _read_folder(place, root)
    if place.suffix.lower() == ".csv":
        return _read_table(place, root, split)
    return _listing(_text_rows(place), from_file=True)


class _Codes(dict[str, int]):
    """Numbers texts in the order in which they come."""

    def __missing__(self, text: str) -> int:
        self[text] = code = len(self)
        return code


def _listing(
    rows: Iterable[tuple[int, str | None, str]], classes: Sequence[str] = (), *, from_file: bool
) -> Listing:
    """The columns of (number, path, label)."""
    paths, numbers, codes, code_of = [], array("q"), array("q"), _Codes()
    for number, path, label in rows:
        numbers.append(number)
        paths.append(path)
        codes.append(code_of[label])
    numbers, codes = (np.array(column, dtype=np.int64) for column in (numbers, codes))
    return Listing(paths, numbers, codes, tuple(code_of), tuple(classes), from_file)


def _read_folder(place: Path, root: Path) -> Listing:
    folders = sorted(p for p in place.iterdir() if p.is_dir() and not p.name.startswith("."))
    files = [
        file
        for folder in folders
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in VIDEO_SUFFIXES
    ]
    if not files:
        raise ValueError(f"there are no videos in '{place}'; put them into one folder per class")
    depth = len(place.parts)
    below = place.is_relative_to(root)
    rows = (
        (i, str(file.relative_to(root) if below else file.absolute()), file.parts[depth])
        for i, file in enumerate(files, start=1)
    )
    return _listing(rows, [folder.name for folder in folders], from_file=False)


def _text_rows(file: Path) -> Iterator[tuple[int, str, str]]:
    with file.open(encoding="utf-8-sig", errors="surrogateescape") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            path, *label = line.strip().rsplit(maxsplit=1)
            if not label:
                raise ValueError(f"{file}, row {number}: '{path}' has no label; write 'path label'")
            yield number, path, label[0]


def _read_table(file: Path, root: Path, split: str | None) -> Listing:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        table = csv.DictReader(stream)
        columns = table.fieldnames = [name.strip() for name in table.fieldnames or ()]
        if KINETICS_COLUMNS.issubset(columns):
            return _read_kinetics(file, root, split)
        path, label = (_column(columns, names, file) for names in (_PATH_COLUMNS, _LABEL_COLUMNS))
        splits = []

        def rows() -> Iterator[tuple[int, str, str]]:
            for number, row in enumerate(table, start=2):
                if not row[path]:
                    raise ValueError(f"{file}, row {number} has no {path}; complete or delete it")
                splits.append(sys.intern(row.get("split") or ""))
                yield number, row[path], (row[label] or "").strip()

        whole = _listing(rows(), from_file=True)
    return _of_split(replace(whole, classes=_names(whole.texts)), splits, split, file)


def _read_kinetics(file: Path, root: Path, split: str | None) -> Listing:
    clips = read_kinetics(file)
    rows = ((number, None, clip.label) for number, clip in enumerate(clips, start=2))
    whole = _listing(rows, from_file=False)
    chosen = _of_split(whole, [clip.split for clip in clips], split, file)
    paths = find_clips([clips[i - 2] for i in chosen.numbers.tolist()], root, VIDEO_SUFFIXES)
    return replace(chosen, paths=paths, classes=_names(whole.texts))


def _names(texts: Sequence[str]) -> tuple[str, ...]:
    # Of all splits, so that a class keeps its label where one split lacks another class.
    return () if all(map(INTEGER.fullmatch, texts)) else tuple(sorted(texts))


def _of_split(whole: Listing, splits: Sequence[str], split: str | None, file: Path) -> Listing:
    present = sorted({*splits} - {""})
    if split is None or not present:
        return whole
    wanted = {split, *(name for name in present if SPLIT_NAMES.get(name) == split)}
    chosen = [i for i, name in enumerate(splits) if name in wanted]
    if not chosen:
        raise ValueError(
            f"{file} has no rows of the split '{split}'; its column split has {', '.join(present)}"
        )
    paths = [whole.paths[i] for i in chosen]
    return replace(whole, paths=paths, numbers=whole.numbers[chosen], codes=whole.codes[chosen])


def _column(columns: Sequence[str], names: Sequence[str], file: Path) -> str:
    for name in names:
        if name in columns:
            return name
    raise ValueError(
        f"{file} has the columns {', '.join(columns) or '(none)'}, but needs one of "
        f"{', '.join(names)}; add it to the header line"
    )
