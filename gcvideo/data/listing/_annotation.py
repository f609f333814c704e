"""Sample lists: which videos there are and what they show."""

import difflib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Int64

from gcvideo.data.listing._array_file import ArrayFile
from gcvideo.data.listing._listing import INTEGER, Listing, read_listing
from gcvideo.data.listing._path_list import (
    LONG_LIST,
    PathList,
    keep_list,
    recall_list,
    remember_list,
    source_key,
)
from gcvideo.data.listing._table_file import open_text

_KEPT = ("paths", "labels", "classes")


@dataclass(frozen=True, eq=False)
class Annotations:
    """Videos with their labels.

    A list of 10,000 videos or more is kept in a file below ``$GCVIDEO_CACHE``, else
    ``~/.cache/gcvideo``, that all processes map; a pickle of it only names that file.

    Args:
        paths: paths as listed, relative to ``root`` or absolute; kept as a ``PathList``.
        labels: label of each video, counted from 0.
        classes: names in label order.
        source: folder or file that the list came from.
        root: folder that relative paths start from.
        num_missing: listed videos left out because their files do not exist (Kinetics only).
    """

    paths: Sequence[str]
    labels: Int64[np.ndarray, " n"]
    classes: tuple[str, ...]
    source: str
    root: str = "."
    num_missing: int = 0

    _file: ArrayFile | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        paths = PathList.of(self.paths)
        file = keep_list(paths, self.labels, self.classes) if len(paths) >= LONG_LIST else None
        self.__setstate__({"paths": paths, "_file": file})

    def __getstate__(self) -> dict[str, Any]:
        state, file = dict(vars(self)), self._file
        if file is not None and not file.path.exists():
            state["_file"] = file = keep_list(PathList.of(self.paths), self.labels, self.classes)
        return state if file is None else {k: v for k, v in state.items() if k not in _KEPT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # The class is frozen for everybody else.
        vars(self).update(state)
        if (file := self._file) is not None:
            paths = PathList(file["text"], file["offsets"])
            kept = paths, file["labels"], tuple(json.loads(file.metadata["classes"]))
            vars(self).update(zip(_KEPT, kept, strict=True))

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, video: int) -> str:
        """The file of a video, ready to open."""
        return os.path.join(self.root, self.paths[video])  # noqa: PTH118 - half the cost of Path

    def subset(self, indices: Sequence[int] | Int[np.ndarray, "m"]) -> "Annotations":
        """The videos at ``indices``, in that order, with the same classes."""
        chosen = np.asarray(indices, dtype=np.int64)
        paths = PathList.of(self.paths).take(chosen)
        return replace(self, paths=paths, labels=self.labels[chosen])


def read_annotations(
    source: str | Path,
    *,
    root: str | Path,
    classes: Sequence[str] | None = None,
    split: str | None = None,
) -> Annotations:
    """Videos and labels from a folder, a list or a table.

    - A folder: one folder per class, with videos at any depth; classes in sorted order.
    - A table with a header: a column path, file, video or filename; a column label, class or
      class_name, with labels or names; a column split, if there are several.
    - The official Kinetics CSV: see ``gcvideo.data.listing._kinetics``.
    - Any other file: lines "path label"; the path may contain spaces.

    ``docs/data.md`` lists the encodings, separators and folder names that are understood.

    Class names: ``classes``; else those in the table, sorted; else the folders of the videos if they
    correspond one to one to the labels; else the labels. Only the first file is looked up.

    Args:
        source: folder or file, relative to ``root``, or to the working folder if it is not there.
        root: folder that relative paths of videos start from.
        classes: names in label order.
        split: split whose rows are taken from a table with a column split.

    Raises:
        FileNotFoundError: if the source, its first video or every Kinetics clip is missing.
        ValueError: names the row or the folder, if the list cannot be used as it is.

    Warns:
        UserWarning: about class folders without a video, and folders that may be something else.
    """
    root = Path(root)
    place = next((place for place in (root / source, Path(source)) if place.exists()), None)
    if place is None:
        raise FileNotFoundError(
            f"there is neither '{root / source}' nor '{source}'; give a folder, a text list or a CSV"
        )
    key = source_key(place, classes, split) if place.is_file() else None
    kept = recall_list(key) if key else None
    if kept is None:
        found = _parse(place, root, classes, split, key)
    else:
        found = Annotations.__new__(Annotations)
        found.__setstate__(
            {"source": str(place), "root": str(root), "num_missing": 0, "_file": kept}
        )
    if not Path(first := found.path(0)).is_file():
        raise FileNotFoundError(
            f"{place} lists '{found.paths[0]}', but there is no file '{first}'; set data.root to "
            "the folder that the paths start from"
        )
    return found


def read_classes(path: str | Path) -> tuple[str, ...]:
    """Class names in label order from a text file with one name per line.

    Raises FileNotFoundError or ValueError if the file is missing or empty, or a name occurs twice.
    """
    with open_text(Path(path)) as lines:
        names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise ValueError(f"class list '{path}' is empty; write one class name per line")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"class list '{path}' has '{twice[0]}' twice; name each class once")
    return names


def stratified_split(
    annotations: Annotations,
    val_fraction: float,
    seed: int,
    groups: Sequence[str] | None = None,
) -> tuple[Annotations, Annotations]:
    """Train and val parts with the same share of every class and at least one video of each.

    With the group of each video, whole groups are drawn until val has its share of all videos; its shares
    of the classes then only come near it, and every class keeps a video in train.

    Raises ValueError if ``val_fraction`` is not inside (0, 1), or a class has a single video or group.
    """
    if not 0 < val_fraction < 1:
        raise ValueError(f"val_fraction is {val_fraction} but must be between 0 and 1; try 0.2")
    rng = np.random.default_rng(seed)
    in_val = np.zeros(len(annotations), dtype=bool)
    if groups is not None:
        in_val = _drawn_groups(annotations, val_fraction, rng, groups)
    for label in np.unique(annotations.labels) if groups is None else ():
        members = np.flatnonzero(annotations.labels == label)
        if len(members) < 2:
            raise ValueError(
                f"class '{annotations.classes[label]}' of {annotations.source} has a single video, "
                "which cannot be in train and val; add videos or give data.val"
            )
        num_val = min(max(round(val_fraction * len(members)), 1), len(members) - 1)
        in_val[rng.permutation(members)[:num_val]] = True
    return annotations.subset(np.flatnonzero(~in_val)), annotations.subset(np.flatnonzero(in_val))


def _drawn_groups(
    annotations: Annotations,
    val_fraction: float,
    rng: np.random.Generator,
    groups: Sequence[str],
) -> Bool[np.ndarray, " n"]:
    """Whether each video is in one of the groups drawn for val."""
    names, group_of = np.unique(groups, return_inverse=True)
    in_val = np.zeros(len(annotations), dtype=bool)
    labels = annotations.labels
    for group in rng.permutation(len(names)):
        if in_val.sum() >= round(val_fraction * len(in_val)):
            break
        with_group = in_val | (group_of == group)
        if len(np.unique(labels[~with_group])) == len(np.unique(labels)):
            in_val = with_group
    if not in_val.any():
        raise ValueError(
            f"no group of {annotations.source} can go to val, because each has all videos of a class; add "
            "videos or give data.val"
        )
    return in_val


def _parse(
    place: Path, root: Path, classes: Sequence[str] | None, split: str | None, key: str | None
) -> Annotations:
    """The list in a source; a long one is remembered under ``key`` unless it depends on other files."""
    rows = read_listing(place, root, split, classes)
    if not len(rows):
        raise ValueError(f"{place} lists no videos; check data.train, data.val and data.test")
    names = tuple(classes or rows.classes)
    labels = _labels(rows, names, place)
    paths = [path for path in rows.paths if path is not None]
    present = np.array([path is not None for path in rows.paths])
    names = names or _class_names(paths, labels[present])
    if len(names) < 2 or (classes is None and len(np.unique(labels)) < 2):
        raise ValueError(
            f"{place} has only one class, '{names[labels[0]]}'; a classifier needs two or more: "
            "give each class its folder or label"
        )
    missing = len(rows) - len(paths)
    found = Annotations(paths, labels[present], names, str(place), str(root), missing)
    # The file may have changed while it was read.
    if key and found._file and rows.from_file and key == source_key(place, classes, split):
        remember_list(key, found._file)
    return found


def _labels(rows: Listing, names: Sequence[str], place: Path) -> Int64[np.ndarray, " n"]:
    label_of = {name: label for label, name in enumerate(names)}
    texts = dict.fromkeys(rows.labels)
    if names and label_of.keys() >= texts.keys():
        return np.array([label_of[text] for text in rows.labels], dtype=np.int64)
    if not all(map(INTEGER.fullmatch, texts)):
        unknown = [text for text in texts if text not in label_of]
        text = next((text for text in unknown if not INTEGER.fullmatch(text)), unknown[0])
        close = difflib.get_close_matches(text, names, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "give all with data.classes"
        rule = f"one of the {len(names)} classes" if names else "a whole number"
        number = rows.numbers[rows.labels.index(text)]
        raise ValueError(f"{place}, row {number}: label '{text}' is not {rule}; {hint}")
    number_of = {text: int(text.partition(".")[0]) for text in texts}
    labels = np.array([number_of[text] for text in rows.labels], dtype=np.int64)
    end = len(names) or int(labels.max()) + 1
    if labels.min() == 1 and (not names or labels.max() == len(names)):
        raise ValueError(
            f"{place}: labels start at 1 and end at {labels.max()}; gcvideo counts from 0: "
            "subtract one from every label"
        )
    outside = np.flatnonzero((labels < 0) | (labels >= end))
    if len(outside):
        row = int(outside[0])
        raise ValueError(
            f"{place}, row {rows.numbers[row]}: label {rows.labels[row]} is not in 0..{end - 1}, "
            f"the {end} classes; correct it, or give all names with data.classes"
        )
    return labels


def _class_names(paths: Sequence[str], labels: Int64[np.ndarray, " n"]) -> tuple[str, ...]:
    """Folder names in label order if each label has a folder of its own, else the labels."""
    folders = map(os.path.dirname, paths)  # far fewer than paths, and cheaper than a Path each
    pairs = {
        (label, Path(folder).name)
        for label, folder in set(zip(labels.tolist(), folders, strict=True))
    }
    names = {folder for _, folder in pairs}
    one_to_one = len(pairs) == len(names) == len(np.unique(labels)) and "" not in names
    name_of = dict(pairs) if one_to_one else {}
    return tuple(name_of.get(label, str(label)) for label in range(int(labels.max()) + 1))
