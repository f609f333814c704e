"""Folders of videos as cameras, Macs and network disks leave them: of classes, and of splits."""

import os
import re
import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

VIDEO_SUFFIXES = frozenset(
    {".264", ".265", ".3g2", ".3gp", ".amv", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif"}
    | {".h264", ".h265", ".hevc", ".ivf", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg"}
    | {".mjpg", ".mk3d", ".mkv", ".mod", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mpv", ".mts"}
    | {".mxf", ".nut", ".obu", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".tod", ".ts", ".vob"}
    | {".webm", ".wmv", ".wtv", ".y4m"}
)
_SYSTEM_NAMES = frozenset(
    {"__macosx", "@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"}
    | {"$recycle.bin", "system volume information", "lost+found"}
)
_SPLIT_OF = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_WEBP = ".webp (FFmpeg does not read its animations)"
_CLOSED = "closed to this user"
# Not the pictures, texts and hidden files that often accompany videos.
_LOUD = frozenset({_WEBP, _CLOSED})
_NUM_NAMED = 5


class FoundVideos(NamedTuple):
    """The videos below a folder, at any depth and sorted by their parts, as relative paths.

    ``left_out`` counts other files and folders by the reason why they are not among them.
    """

    paths: list[str]
    left_out: Counter[str]

    def reasons(self, *, loud: bool = False) -> str:
        """What was left out, as a text; if ``loud``, only what somebody may miss."""
        counted = sorted(self.left_out.items())
        return ", ".join(f"{n} {why}" for why, n in counted if why in _LOUD or not loud)


def is_video_name(name: str) -> bool:
    """Whether a file name ends like that of a video."""
    return name[name.rfind(".") :].lower() in VIDEO_SUFFIXES


def find_videos(folder: str | Path, above: str | Path | None = None) -> FoundVideos:
    """Videos below a folder: linked folders are followed, and each real one is entered once.

    Left out are hidden files and folders, those that macOS, Windows and network disks add, and files
    without the ending of a video. A folder is not a video, whatever its ending, but a link is one if it
    has the ending of a video. Links must not lead back to the folder ``above``.
    """
    paths: list[str] = []
    left_out: Counter[str] = Counter()
    seen = set() if above is None else {_identity(above)}
    folders, links = [""], []
    while folders or links:
        # Links last, so that a folder that is also here itself has its own name.
        below = folders.pop() if folders else links.pop(links.index(min(links)))
        place = os.path.join(folder, below)  # noqa: PTH118 - a third of the cost of Path
        try:
            if (identity := _identity(place)) in seen:
                left_out["linked in a loop or twice"] += 1
                continue
            seen.add(identity)
            entries = list(os.scandir(place))
        except OSError:
            left_out[_CLOSED] += 1
            continue
        prefix = os.path.join(below, "") if below else ""  # noqa: PTH118
        for entry in entries:
            name = entry.name
            if _is_hidden(name):
                left_out["hidden"] += 1
            elif is_video_name(name) and entry.is_symlink():
                # Where it leads is not looked up, which takes a millisecond on a network disk. Even a broken
                # link is a listed video, one that cannot be read.
                paths.append(prefix + name)
            elif entry.is_dir():
                (links if entry.is_symlink() else folders).append(prefix + name)
            elif not is_video_name(name):
                suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
                left_out[_WEBP if suffix == ".webp" else suffix or "without a suffix"] += 1
            elif entry.is_file():
                paths.append(prefix + name)
            else:
                left_out["not a regular file"] += 1
    _sort_by_parts(paths)
    return FoundVideos(paths, left_out)


def _sort_by_parts(paths: list[str]) -> None:
    """Sort paths as the lists of their parts, which would take the memory of a million lists."""
    # No name has a zero.
    for number, path in enumerate(paths):
        paths[number] = path.replace(os.sep, "\0")
    paths.sort()
    for number, path in enumerate(paths):
        paths[number] = path.replace("\0", os.sep)


def _is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or belongs to the system instead of its user."""
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def _folders(place: Path) -> list[str]:
    with os.scandir(place) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not _is_hidden(e.name))


def _identity(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)  # noqa: PTH116
    return status.st_dev, status.st_ino


def class_folders(place: Path, classes: Sequence[str] | None = None) -> dict[str, list[str]]:
    """The class folders directly below ``place`` that have videos, and their paths below each.

    Warns of folders without a video, and of videos that cannot be read. Refuses, or warns of, folders
    that look like something other than classes, unless ``classes`` is given.
    """
    names = (name for name in _folders(place) if not is_video_name(name))
    folders = {name: find_videos(place / name, above=place) for name in names}
    filled = {name: found.paths for name, found in folders.items() if found.paths}
    if not filled:
        _refuse_empty(place, folders)
    if classes is None:
        _question(place, filled)
    without = [f"{name}: {f.reasons() or 'empty'}" for name, f in folders.items() if not f.paths]
    _warn(f"folders of '{place}' without a video, which are not classes; left out there:", without)
    unread = [
        f"{name}: {reasons}" for name in filled if (reasons := folders[name].reasons(loud=True))
    ]
    _warn(f"left out in class folders of '{place}':", unread)
    return filled


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


def _question(place: Path, filled: Mapping[str, list[str]]) -> None:
    """Refuse folders that cannot be classes, and warn of those that may be something else."""
    splits = [name for name in filled if split_name(name)]
    if len({split_name(name) for name in splits}) > 1 or len(splits) == len(filled):
        raise ValueError(
            f"'{place}' has the folders {_some(splits)}, which are named like splits, not like classes; "
            f"give only data.root={place}, or one of them, such as data.train={place / splits[0]}; if they "
            "are classes, name all with data.classes"
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
            f"{seen}, which are named like splits; put the splits above the classes, as in "
            f"{inner[0]}/{next(iter(filled))}, or write lists of 'path label' for data.train and data.val"
        )
    if _is_numbered(inner):
        return
    if _is_numbered([*filled]):
        raise ValueError(
            f"{seen}: the inner ones look like the classes; write lists of 'path label' for data.train "
            "and data.val; if the outer ones are the classes, name all with data.classes"
        )
    warnings.warn(
        f"{seen}; gcvideo takes the outer ones for the classes: if the inner ones are, write "
        "lists of 'path label' for data.train and data.val",
        stacklevel=3,
    )


def _shared_folders(filled: Mapping[str, list[str]]) -> list[str]:
    """Folders that most class folders have, if these contain nothing but folders."""
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
    more = [f"and {len(lines) - _NUM_NAMED} more"] if len(lines) > _NUM_NAMED else []
    if lines:
        warnings.warn("\n  ".join([head, *lines[:_NUM_NAMED], *more]), stacklevel=3)


def split_name(text: str) -> str | None:
    """The split "train", "val" or "test" that a text names in any case; None if it names none."""
    return _SPLIT_OF.get(text.strip().lower())


def split_folders(
    root: Path, classes: Collection[str] = (), splits: Collection[str] = ("train", "val", "test")
) -> dict[str, str]:
    """Folders of ``root``, by the split that they are named after, that have folders and are no class."""
    found: dict[str, str] = {}
    for name in _folders(root):
        split = split_name(name)
        if split is None or split not in splits or name in classes or not _folders(root / name):
            continue
        if split in found:
            raise ValueError(
                f"'{root}' has the folders '{Path(found[split]).name}' and '{name}', which are both named "
                f"after {split}; choose one with data.{split}={root / name}, or rename one"
            )
        found[split] = str(root.absolute() / name)
    return found


def held_out_source(root: Path, classes: Collection[str] = ()) -> str:
    """The folder to test on below a root: its test, else its val, else all of it."""
    found = split_folders(root, classes)
    return found.get("test") or found.get("val") or str(root.absolute())
