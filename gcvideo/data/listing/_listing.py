"""The rows of folders, text lists and tables as they are written there."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path

from gcvideo.data.listing._kinetics import KINETICS_COLUMNS, find_clips, kinetics_clips
from gcvideo.data.listing._table_file import FILE_NAMES, WINDOWS, Table, find_encoding, open_text
from gcvideo.data.listing._video_folder import class_folders, is_video_name, split_name

# A label may come as 3.0, which is how pandas writes whole numbers of a column with gaps.
INTEGER = re.compile(r"-?[0-9]+(?:\.0*)?")
_NO_LABEL = frozenset({"nan", "none", "null", "na", "n/a", "?", "-"})
PATH_COLUMNS = ("path", "file", "video", "filename")
_LABEL_COLUMNS = ("label", "class", "class_name")
_NUM_LOOKED_UP = 100
# A byte that is not UTF-8, once decoded.
_STRAY_BYTE = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True)
class Listing:
    """Rows in columns, with the text of each label once; an object per row would take 400 bytes.

    A path is None if its file does not exist (Kinetics only). ``numbers`` count rows as error messages
    do. ``texts`` and ``classes`` are those of all splits: labels as they are written, and names that the
    source gives in label order. ``from_file`` tells whether the listing only depends on the bytes of one
    file.
    """

    paths: Sequence[str | None]
    numbers: Sequence[int]
    labels: Sequence[str]
    texts: tuple[str, ...]
    classes: tuple[str, ...]
    from_file: bool

    def __len__(self) -> int:
        return len(self.paths)


def read_listing(
    place: Path, root: Path, split: str | None, classes: Sequence[str] | None = None
) -> Listing:
    """The rows of a folder, a text list, a table or an official Kinetics CSV, of one split of it."""
    if place.is_dir():
        folders = class_folders(place, classes)
        above = place.relative_to(root) if place.is_relative_to(root) else place.absolute()
        videos = [(str(above / name / path), name) for name in folders for path in folders[name]]
        rows = ((number, path, name) for number, (path, name) in enumerate(videos, start=1))
        return _listing(rows, [*folders], from_file=False)
    encoding = find_encoding(place)
    read = partial(_read_file, place, root, split)
    listing = _read_by_files(place, root, read) if encoding is None else read(encoding)
    _check_labels(listing, place, classes or ())
    return listing


def _listing(
    rows: Iterable[tuple[int, str | None, str]], classes: Sequence[str] = (), *, from_file: bool
) -> Listing:
    """The columns of (number, path, label)."""
    numbers, paths, labels = [], [], []
    texts: dict[str, str] = {}
    for number, path, label in rows:
        numbers.append(number)
        paths.append(path)
        labels.append(texts.setdefault(label, label))
    return Listing(paths, numbers, labels, tuple(texts), tuple(classes), from_file)


def _read_file(file: Path, root: Path, split: str | None, encoding: str) -> Listing:
    with open_text(file, encoding) as stream:
        first = stream.readline()
        table = Table(file, chain([first], stream))
        if KINETICS_COLUMNS.issubset(table.columns):
            return _read_kinetics(table, root, split)
        if table.find(PATH_COLUMNS) is not None and table.find(_LABEL_COLUMNS) is not None:
            return _read_table(table, split)
        lines = chain([first], stream)
        if not is_video_name("".join(first.rsplit(maxsplit=1)[:-1])):
            if is_video_name(table.headings[0] if table.headings[1:] else ""):
                return _read_table(Table(file, lines, ("path", "label")), split)
            if file.suffix.lower() == ".csv":
                for names in (PATH_COLUMNS, _LABEL_COLUMNS):
                    _column(table, names)
        return _listing(_text_rows(file, lines), from_file=True)


def _read_by_files(file: Path, root: Path, read: Callable[[str], Listing]) -> Listing:
    """A list that is not UTF-8: either its bytes are file names, or it was written on Windows."""
    as_names = read(FILE_NAMES)
    try:
        as_text = read(WINDOWS)
    except ValueError:
        as_text = as_names
    odd = (row for row, path in enumerate(as_names.paths) if path and _STRAY_BYTE.search(path))
    rows = [*islice(odd, _NUM_LOOKED_UP)]
    num_names, num_texts = (
        sum((root / (listing.paths[row] or "")).is_file() for row in rows)
        for listing in (as_names, as_text)
    )
    if rows and not num_names and not num_texts:
        raise ValueError(
            f"{file}, row {as_names.numbers[rows[0]]}: {as_names.paths[rows[0]]!r} is not UTF-8, and there "
            f"is no file with these bytes nor '{as_text.paths[rows[0]]}', as Windows (cp1252) would read "
            "them; save the list as UTF-8, and set data.root to the folder that the paths start from"
        )
    chosen = as_names if num_names > num_texts else as_text
    return replace(chosen, from_file=False)


def _text_rows(file: Path, lines: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(lines, start=1):
        parts = line.split()
        if len(parts) == 2:
            yield number, parts[0], parts[1]
            continue
        if not parts:
            continue
        if len(parts) == 1:
            raise ValueError(f"{file}, row {number}: '{parts[0]}' has no label; write 'path label'")
        path, label = line.strip().rsplit(maxsplit=1)
        if not is_video_name(path) and any(map(is_video_name, parts[:-1])):
            raise ValueError(
                f"{file}, row {number}: '{line.strip()}' has more than one word after the video; of "
                "several labels keep one, since each video has one class; names with spaces need a "
                "table with the columns path,label"
            )
        yield number, path, label


def _read_table(table: Table, split: str | None) -> Listing:
    path, label = _column(table, PATH_COLUMNS), _column(table, _LABEL_COLUMNS)
    split_column = table.find(("split",))
    splits = []

    def rows() -> Iterator[tuple[int, str, str]]:
        for number, row in table:
            text = row[label].strip()
            if not row[path] or not text:
                lacking = table.headings[label if row[path] else path]
                raise ValueError(
                    f"{table.file}, row {number} has no {lacking}; complete or delete it"
                )
            if split_column is not None:
                splits.append(sys.intern(row[split_column]))
            yield number, row[path], text

    whole = _listing(rows(), from_file=True)
    return _of_split(replace(whole, classes=_names(whole.texts)), splits, split, table.file)


def _read_kinetics(table: Table, root: Path, split: str | None) -> Listing:
    clips = kinetics_clips(table)
    rows = ((number, None, clip.label) for number, clip in enumerate(clips, start=2))
    whole = _listing(rows, from_file=False)
    chosen = _of_split(whole, [clip.split for clip in clips], split, table.file)
    paths = find_clips([clips[i - 2] for i in chosen.numbers], root)
    return replace(chosen, paths=paths, classes=_names(whole.texts))


def _names(texts: Sequence[str]) -> tuple[str, ...]:
    # Of all splits, so that a class keeps its label if one split lacks another class.
    return () if all(map(INTEGER.fullmatch, texts)) else tuple(sorted(texts))


def _check_labels(listing: Listing, file: Path, classes: Sequence[str]) -> None:
    """Refuse a label that is several labels, or a placeholder word among whole numbers."""
    texts = set(listing.texts)
    named = {text for text in texts if not INTEGER.fullmatch(text)}
    all_gaps = named != texts and all(text.lower() in _NO_LABEL for text in named)
    for text in dict.fromkeys(listing.labels):
        parts = [part.strip() for part in re.split("[;,|]", text)]
        several = len(parts) > 1 and all(p in texts or INTEGER.fullmatch(p) for p in parts)
        if text in classes or not (several or (all_gaps and text in named)):
            continue
        number = listing.numbers[listing.labels.index(text)]
        what = "is not a label among whole numbers; complete or delete the row"
        if several:
            what = "is several labels; keep one, since each video has one class"
        raise ValueError(f"{file}, row {number}: '{text}' {what}")


def _of_split(whole: Listing, splits: Sequence[str], split: str | None, file: Path) -> Listing:
    present = sorted({*splits} - {""})
    if split is None or not present:
        return whole
    wanted = {name for name in present if split in (name, split_name(name))}
    chosen = [i for i, name in enumerate(splits) if name in wanted]
    if not chosen:
        raise ValueError(
            f"{file} has no rows of the split '{split}'; its column split has {', '.join(present)}"
        )
    paths, numbers, labels = (
        [column[i] for i in chosen] for column in (whole.paths, whole.numbers, whole.labels)
    )
    return replace(whole, paths=paths, numbers=numbers, labels=labels)


def _column(table: Table, names: Sequence[str]) -> int:
    place = table.find(names)
    if place is None:
        raise ValueError(
            f"{table.file} has the columns {', '.join(table.headings) or '(none)'}, but needs one of "
            f"{', '.join(names)}; add it to the header line"
        )
    return place
