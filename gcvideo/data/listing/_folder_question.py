"""Whether class folders are what they seem: splits, or people above the classes, look the same."""

import os
import re
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from gcvideo.data.listing._class_folder import FoundVideos, is_video_name
from gcvideo.data.listing._split_folder import split_name

_NUM_NAMED = 5


def check_class_folders(place: Path, folders: Mapping[str, FoundVideos]) -> None:
    """Refuse folders that cannot be classes, and warn of those that may be something else.

    Args:
        place: folder of the class folders.
        folders: what is in each.

    Raises:
        ValueError: if there are no videos, or the folders are splits, or hold splits, or are
            numbered and hold the same other folders.
    """
    filled = {name: found.paths for name, found in folders.items() if found.paths}
    if not filled:
        _refuse_empty(place, folders)
    splits = [name for name in filled if split_name(name)]
    if len({split_name(name) for name in splits}) > 1 or len(splits) == len(filled):
        raise ValueError(
            f"'{place}' has the folders {_some(splits)}, which are called like splits, not like classes; "
            f"give data.root={place} alone, or one of them, such as data.train={place / splits[0]}; if "
            "they are classes, name all with data.classes"
        )
    inner = _shared_folders(filled)
    if not inner:
        return
    if len(filled) == 1:
        (outer,) = filled
        raise ValueError(
            f"'{place}' has one folder, {outer}, which has the folders {_some(inner)}; give "
            f"data.root={place / outer} if these are the classes or the splits"
        )
    seen = f"every folder of '{place}' ({_some([*filled])}) has the same folders ({_some(inner)})"
    if all(map(split_name, inner)):
        raise ValueError(
            f"{seen}, which are called like splits; put the splits above the classes, as in "
            f"{inner[0]}/{next(iter(filled))}, or write lists of 'path label' for data.train and data.val"
        )
    if _is_numbered([*filled]) and not _is_numbered(inner):
        raise ValueError(
            f"{seen}: the inner ones look like the classes; write lists of 'path label' for data.train "
            "and data.val; if the outer ones are the classes, name all with data.classes"
        )
    if not _is_numbered(inner):
        warnings.warn(
            f"{seen}; gcvideo takes the outer ones for the classes: if the inner ones are, write "
            "lists of 'path label' for data.train and data.val",
            stacklevel=2,
        )


def warn_of_left_out(place: Path, folders: Mapping[str, FoundVideos]) -> None:
    """Name the folders without a video, which are no classes, and videos that cannot be read."""
    lines = [
        f"  {name}: {found.reasons() or 'empty'}"
        for name, found in folders.items()
        if not found.paths
    ]
    if lines:
        _warn(f"folders of '{place}' without a video, which are no classes; left out there:", lines)
    lines = [
        f"  {name}: {reasons}"
        for name, found in folders.items()
        if found.paths and (reasons := found.reasons(loud=True))
    ]
    if lines:
        _warn(f"left out in class folders of '{place}':", lines)


def _refuse_empty(place: Path, folders: Mapping[str, FoundVideos]) -> None:
    with os.scandir(place) as entries:
        loose = sum(entry.is_file() and is_video_name(entry.name) for entry in entries)
    left_out = "; ".join(f"{n}: {f.reasons()}" for n, f in folders.items() if f.left_out)
    seen = f", left out are {left_out}" if left_out else ""
    if loose:
        raise ValueError(
            f"'{place}' has {loose} videos but no class folders with videos{seen}; put them into one "
            "folder per class, or give the folder above if this is one class"
        )
    raise ValueError(f"there are no videos in '{place}'{seen}; put them into one folder per class")


def _shared_folders(filled: Mapping[str, list[str]]) -> list[str]:
    """Folders that most class folders have, where these have nothing beside folders."""
    count: Counter[str] = Counter()
    for paths in filled.values():
        parts = {path.split(os.sep, 1)[0] if os.sep in path else "" for path in paths}
        if "" in parts:
            return []
        count.update(parts)
    is_shared = len(count) > 1 and all(number >= len(filled) / 2 for number in count.values())
    return sorted(count) if is_shared else []


def _is_numbered(names: list[str]) -> bool:
    """Whether the names are one word with numbers, such as subject1, subject2."""
    words = [re.fullmatch(r"(\D*)\d+", name) for name in names]
    return len({word and word[1].lower() for word in words}) == 1 and words[0] is not None


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NUM_NAMED]) + (", ..." if len(names) > _NUM_NAMED else "")


def _warn(head: str, lines: list[str]) -> None:
    shown = lines[:_NUM_NAMED]
    if len(lines) > _NUM_NAMED:
        shown.append(f"  and {len(lines) - _NUM_NAMED} more")
    warnings.warn("\n".join([head, *shown]), stacklevel=3)
