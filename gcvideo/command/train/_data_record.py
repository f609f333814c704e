"""The classes and videos of a run, kept in its folder and compared when it is resumed."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

from gcvideo._console import Console
from gcvideo._draft import draft_of
from gcvideo.data import Annotations, VideoSplits, check_listable, write_text
from gcvideo.data.listing._list_file import list_text

_FILE = "data.jsonl.gz"
_MAX_NAMES = 3


class DataChangedError(ValueError):
    """A resumed run whose classes or lists of videos are not those that it began with."""


def write_data_record(folder: Path, splits: VideoSplits) -> None:
    """Keep classes and lists of a run in its folder: a line of class names, then one for each video."""
    with (
        draft_of(folder / _FILE) as draft,
        gzip.open(draft, "wt", encoding="utf-8") as file,
    ):
        file.write(json.dumps({"classes": list(splits.classes)}) + "\n")
        for name, videos in _lists(splits).items():
            for path, label in zip(videos.paths, videos.labels.tolist(), strict=True):
                file.write(json.dumps([name, path, label]) + "\n")


def record_split(folder: Path, splits: VideoSplits) -> None:
    """Write a split that was drawn as ``train.txt`` and ``val.txt`` of "path label", and ``classes.txt``.

    A resumed run writes them anew, for it may have accepted other videos, from which another split
    was drawn.
    """
    lists = _lists(splits)
    try:
        for annotations in lists.values():
            check_listable(annotations.paths, splits.classes)
    except ValueError as error:
        Console().print(f"warning: the split is not written: {error}", soft_wrap=True)
        return
    for name, annotations in lists.items():
        text = list_text(annotations.paths, annotations.labels, splits.classes)
        write_text(folder / f"{name}.txt", text)
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in splits.classes))


def changed_lists(folder: Path, splits: VideoSplits, *, accepts_others: bool) -> list[str]:
    """What to say of lists that differ from those of the run in a folder; nothing if they are the same."""
    path, word = folder / _FILE, "accept_changed_lists=true"
    if not path.is_file():
        if accepts_others:
            return []
        raise DataChangedError(
            f"'{folder}' lacks {_FILE}, so it is unknown which videos the run has learned from; {word} "
            "continues with those listed now"
        )
    old: dict[str, list[tuple[str, int]]] = {"train": [], "val": []}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        classes = json.loads(file.readline())["classes"]
        for line in file:
            name, video, label = json.loads(line)
            old[name].append((video, label))
    if classes != list(splits.classes):
        raise DataChangedError(
            f"the run in '{folder}' was begun with other classes: "
            f"{_changed_classes(classes, splits.classes)}; its head would mean other classes "
            "than the labels: restore their names and order, or start a new run from its weights with "
            "weights=checkpoint weights.path=..., which takes rows by class name"
        )
    new = {n: list(zip(v.paths, v.labels.tolist(), strict=True)) for n, v in _lists(splits).items()}
    changes = [
        f"of {name}, {len(old[name])} videos were listed and {len(new[name])} are: "
        f"{_changed_videos(dict(old[name]), dict(new[name]))}"
        for name in old
        if old[name] != new[name]
    ]
    if not changes:
        return []
    if not accepts_others:
        raise DataChangedError(
            f"the run in '{folder}' was begun with other videos: {'; '.join(changes)}; restore them, or go "
            f"on with the lists as they are with {word}: epochs then have other videos, and scores "
            "from before and after cannot be compared"
        )
    num_seen = len(dict(old["train"]).keys() & dict(new["val"]).keys())
    if num_seen:
        changes.append(f"{num_seen} videos of val were trained on before")
    return [f"warning: {change}" for change in changes]


def _lists(splits: VideoSplits) -> dict[str, Annotations]:
    return {"train": splits.train, "val": splits.val}


def _changed_classes(old: Sequence[str], new: Sequence[str]) -> str:
    if set(old) != set(new):
        return _named(
            ("missing", [c for c in old if c not in new]), ("new", [c for c in new if c not in old])
        )
    return _named(("with another label", [b for b, n in zip(old, new, strict=True) if b != n]))


def _changed_videos(old: dict[str, int], new: dict[str, int]) -> str:
    text = _named(
        ("missing", [path for path in old if path not in new]),
        ("new", [path for path in new if path not in old]),
        ("with another label", [p for p in old if p in new and old[p] != new[p]]),
    )
    return text or "in another order"


def _named(*kinds: tuple[str, Sequence[str]]) -> str:
    return ", ".join(
        f"{len(names)} {kind} ({', '.join(names[:_MAX_NAMES])}{', ...' * (len(names) > _MAX_NAMES)})"
        for kind, names in kinds
        if names
    )
