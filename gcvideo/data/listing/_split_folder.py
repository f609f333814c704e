"""Names that splits go by, and the folders of a root that are called so."""

import os
from collections.abc import Collection
from pathlib import Path

from gcvideo.data.listing._class_folder import is_hidden

_SPLIT_OF = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def split_name(text: str) -> str | None:
    """The split "train", "val" or "test" that a text names in any case; None if it names none."""
    return _SPLIT_OF.get(text.strip().lower())


def split_folders(
    root: Path, classes: Collection[str] = (), splits: Collection[str] = ("train", "val", "test")
) -> dict[str, str]:
    """Folders of ``root`` that are called like a split and have folders of their own, by split.

    Args:
        root: to look in.
        classes: names that are those of classes, and of no split.
        splits: that are looked for.

    Raises:
        ValueError: if two folders are called like one split.
    """
    with os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir())
    found: dict[str, str] = {}
    for name in names:
        split = split_name(name)
        if split is None or split not in splits or name in classes or not _has_folders(root / name):
            continue
        if split in found:
            raise ValueError(
                f"'{root}' has the folders '{Path(found[split]).name}' and '{name}', which both are "
                f"called {split}; say which is meant with data.{split}={root / name}, or rename one"
            )
        found[split] = str(root.absolute() / name)
    return found


def held_out_source(root: Path, classes: Collection[str] = ()) -> str:
    """The folder to test on below a root: its test, else its val, else all of it."""
    found = split_folders(root, classes)
    return found.get("test") or found.get("val") or str(root.absolute())


def _has_folders(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.is_dir() and not is_hidden(entry.name) for entry in entries)
