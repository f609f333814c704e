"""Sample lists: which videos there are and what they show."""

import csv
import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int64

from gcvideo.data.kinetics import KINETICS_COLUMNS, find_clips, read_kinetics

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"}
    | {".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv"}
)
_PATH_COLUMNS = ("path", "file", "video", "filename")
_LABEL_COLUMNS = ("label", "class", "class_name")
_INTEGER = re.compile(r"-?[0-9]+")
_SPLIT_NAMES = {"training": "train", "validate": "val", "validation": "val", "testing": "test"}


@dataclass(frozen=True, eq=False)
class Annotations:
    """Videos with their labels.

    Args:
        paths: as listed: relative to ``root``, or absolute.
        labels: one a video, counted from 0.
        classes: names in label order.
        source: where the list came from.
        root: folder that relative paths start from.
        num_missing: listed videos left out because their files are not there (Kinetics only).
    """

    paths: tuple[str, ...]
    labels: Int64[np.ndarray, "n"]
    classes: tuple[str, ...]
    source: str
    root: str = "."
    num_missing: int = 0

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, video: int) -> str:
        """The file of a video, ready to open."""
        return os.path.join(self.root, self.paths[video])  # noqa: PTH118 - half the cost of Path

    def subset(self, indices: Sequence[int] | Int[np.ndarray, "m"]) -> "Annotations":
        """The videos at ``indices``, in that order, with the same classes."""
        chosen = np.asarray(indices, dtype=np.int64)
        paths = tuple(self.paths[i] for i in chosen.tolist())
        return replace(self, paths=paths, labels=self.labels[chosen])


def read_annotations(
    source: str | Path,
    *,
    root: str | Path,
    classes: Sequence[str] | None = None,
    split: str | None = None,
) -> Annotations:
    """Videos and labels from a folder, a list or a table.

    - A folder: one folder per class; classes in sorted order.
    - A ``.csv`` with a header: a column path, file, video or filename; a column label, class or
      class_name, with labels or names; a column split, if there are several.
    - The official Kinetics CSV: see ``gcvideo.data.kinetics``.
    - Any other file: lines "path label"; the path may contain spaces.

    Class names: ``classes``; else those in the table, sorted; else the folders of the videos where
    they go one to one with the labels; else the labels. Only the first file is looked up.

    Args:
        source: relative to ``root``, or to the working folder if it is not there.
        root: folder that relative paths of videos start from.
        classes: names in label order.
        split: rows of a table to take, if it has a column split; of no effect elsewhere.

    Raises:
        FileNotFoundError: if the source, its first video or every Kinetics clip is missing.
        ValueError: naming the row, if the list cannot be used as it is.
    """
    place = _locate(source, Path(root))
    rows, stated = _rows(place, Path(root), split)
    if not rows:
        raise ValueError(f"{place} lists no videos; check data.train, data.val and data.test")
    names = tuple(classes or stated)
    labels = _labels(rows, names, place)
    paths = tuple(row.path for row in rows if row.path is not None)
    present = np.array([row.path is not None for row in rows])
    names = names or _class_names(paths, labels[present])
    if len(names) < 2 or (classes is None and len(np.unique(labels)) < 2):
        raise ValueError(
            f"{place} has only one class, '{names[labels[0]]}'; a classifier needs two or more: "
            "give each class its folder or label"
        )
    if not (first := Path(root) / paths[0]).is_file():
        raise FileNotFoundError(
            f"{place} lists '{paths[0]}', but there is no file '{first}'; set data.root to the "
            "folder that the paths start from"
        )
    missing = len(rows) - len(paths)
    return Annotations(paths, labels[present], names, str(place), str(root), missing)


def read_classes(path: str | Path) -> tuple[str, ...]:
    """Class names in label order from a text file with one name a line.

    Raises:
        FileNotFoundError, ValueError: if the file is missing or empty, or a name comes twice.
    """
    lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise ValueError(f"class list '{path}' is empty; write one class name a line")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"class list '{path}' has '{twice[0]}' twice; name each class once")
    return names


def stratified_split(
    annotations: Annotations, val_fraction: float, seed: int
) -> tuple[Annotations, Annotations]:
    """Train and val parts with the same share of every class and at least one video of each.

    Raises:
        ValueError: if ``val_fraction`` is not inside (0, 1), or a class has a single video.
    """
    if not 0 < val_fraction < 1:
        raise ValueError(f"val_fraction is {val_fraction} but must be between 0 and 1; try 0.2")
    rng = np.random.default_rng(seed)
    in_val = np.zeros(len(annotations), dtype=bool)
    for label in np.unique(annotations.labels):
        members = np.flatnonzero(annotations.labels == label)
        if len(members) < 2:
            raise ValueError(
                f"class '{annotations.classes[label]}' of {annotations.source} has a single video, "
                "which cannot be in train and val; add videos or give data.val"
            )
        num_val = min(max(round(val_fraction * len(members)), 1), len(members) - 1)
        in_val[rng.permutation(members)[:num_val]] = True
    return annotations.subset(np.flatnonzero(~in_val)), annotations.subset(np.flatnonzero(in_val))


@dataclass(frozen=True)
class _Row:
    number: int
    path: str | None
    label: str
    split: str = ""


def _locate(source: str | Path, root: Path) -> Path:
    for place in (root / source, Path(source)):
        if place.exists():
            return place
    tried = f"'{root / source}' nor '{source}'"
    raise FileNotFoundError(f"there is neither {tried}; give a folder, a text list or a CSV")


def _rows(place: Path, root: Path, split: str | None) -> tuple[list[_Row], list[str]]:
    """The rows of a source, and the names of its classes if it has any."""
    if place.is_dir():
        folders = sorted(p for p in place.iterdir() if p.is_dir() and not p.name.startswith("."))
        return _folder_rows(place, folders, root), [folder.name for folder in folders]
    if place.suffix.lower() == ".csv":
        return _table_rows(place, root, split)
    return _text_rows(place), []


def _folder_rows(place: Path, folders: Sequence[Path], root: Path) -> list[_Row]:
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
    return [
        _Row(i, str(file.relative_to(root) if below else file.absolute()), file.parts[depth])
        for i, file in enumerate(files, start=1)
    ]


def _text_rows(file: Path) -> list[_Row]:
    rows = []
    text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        path, *label = line.strip().rsplit(maxsplit=1)
        if not label:
            raise ValueError(f"{file}, row {number}: '{path}' has no label; write 'path label'")
        rows.append(_Row(number, path, label[0]))
    return rows


def _table_rows(file: Path, root: Path, split: str | None) -> tuple[list[_Row], list[str]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        table = csv.DictReader(stream)
        columns = table.fieldnames = [name.strip() for name in table.fieldnames or ()]
        if KINETICS_COLUMNS.issubset(columns):
            return _kinetics_rows(file, root, split)
        path, label = (_column(columns, names, file) for names in (_PATH_COLUMNS, _LABEL_COLUMNS))
        rows = [
            _Row(i, row[path], (row[label] or "").strip(), row.get("split") or "")
            for i, row in enumerate(table, start=2)
        ]
    return _of_split(rows, split, file), _names(rows)


def _kinetics_rows(file: Path, root: Path, split: str | None) -> tuple[list[_Row], list[str]]:
    clips = read_kinetics(file)
    rows = [_Row(i, None, clip.label, clip.split) for i, clip in enumerate(clips, start=2)]
    chosen = _of_split(rows, split, file)
    paths = find_clips([clips[row.number - 2] for row in chosen], root, VIDEO_SUFFIXES)
    found = [replace(row, path=path) for row, path in zip(chosen, paths, strict=True)]
    return found, _names(rows)


def _names(rows: Sequence[_Row]) -> list[str]:
    # Of all splits, so that a class keeps its label where one split lacks another class.
    names = sorted({row.label for row in rows})
    return [] if all(_INTEGER.fullmatch(name) for name in names) else names


def _of_split(rows: list[_Row], split: str | None, file: Path) -> list[_Row]:
    present = sorted({row.split for row in rows if row.split})
    if split is None or not present:
        return rows
    wanted = {split, *(name for name in present if _SPLIT_NAMES.get(name) == split)}
    chosen = [row for row in rows if row.split in wanted]
    if not chosen:
        raise ValueError(
            f"{file} has no rows of the split '{split}'; its column split has {', '.join(present)}"
        )
    return chosen


def _column(columns: Sequence[str], names: Sequence[str], file: Path) -> str:
    for name in names:
        if name in columns:
            return name
    raise ValueError(
        f"{file} has the columns {', '.join(columns) or '(none)'}, but needs one of "
        f"{', '.join(names)}; add it to the header line"
    )


def _labels(rows: Sequence[_Row], names: Sequence[str], place: Path) -> Int64[np.ndarray, "n"]:
    label_of = {name: label for label, name in enumerate(names)}
    if names and all(row.label in label_of for row in rows):
        return np.array([label_of[row.label] for row in rows], dtype=np.int64)
    for row in rows:
        if not _INTEGER.fullmatch(row.label) and row.label not in label_of:
            close = difflib.get_close_matches(row.label, names, n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else "give all with data.classes"
            rule = f"one of the {len(names)} classes" if names else "a whole number"
            raise ValueError(
                f"{place}, row {row.number}: label '{row.label}' is not {rule}; {hint}"
            )
    labels = np.array([int(row.label) for row in rows], dtype=np.int64)
    _check_range(labels, rows, len(names), place)
    return labels


def _check_range(
    labels: Int64[np.ndarray, "n"], rows: Sequence[_Row], num_classes: int, place: Path
) -> None:
    end = num_classes or int(labels.max()) + 1
    if labels.min() == 1 and (not num_classes or labels.max() == num_classes):
        raise ValueError(
            f"{place}: labels start at 1 and end at {labels.max()}; gcvideo counts from 0: "
            "subtract one from every label"
        )
    outside = np.flatnonzero((labels < 0) | (labels >= end))
    if len(outside):
        row = rows[outside[0]]
        raise ValueError(
            f"{place}, row {row.number}: label {row.label} is not in 0..{end - 1}, the "
            f"{end} classes; correct it, or give all names with data.classes"
        )


def _class_names(paths: Sequence[str], labels: Int64[np.ndarray, "n"]) -> tuple[str, ...]:
    """Folder names in label order if each label has a folder of its own, else the labels."""
    pairs = set(zip(labels.tolist(), (Path(path).parent.name for path in paths), strict=True))
    folders = {folder for _, folder in pairs}
    one_to_one = len(pairs) == len(folders) == len(np.unique(labels)) and "" not in folders
    names = dict(pairs) if one_to_one else {}
    return tuple(names.get(label, str(label)) for label in range(int(labels.max()) + 1))
