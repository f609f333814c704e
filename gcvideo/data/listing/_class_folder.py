"""Videos in class folders, as cameras, Macs and network disks leave them."""

import os
from collections import Counter
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
_WEBP = ".webp (FFmpeg does not read its animations)"
_CLOSED = "closed to this user"
# Not the pictures, texts and hidden files that lie beside videos everywhere.
_LOUD = frozenset({_WEBP, _CLOSED})


class FoundVideos(NamedTuple):
    """What lies below a folder, at any depth.

    Args:
        paths: of the videos, relative to the folder, sorted by their parts.
        left_out: number of files and folders by the reason why they are not among them.
    """

    paths: list[str]
    left_out: Counter[str]

    def reasons(self, *, loud: bool = False) -> str:
        """What was left out, as a text; only what somebody may miss, if ``loud``."""
        counted = sorted(self.left_out.items())
        return ", ".join(f"{n} {why}" for why, n in counted if why in _LOUD or not loud)


def is_video_name(name: str) -> bool:
    """Whether a file name ends like that of a video."""
    return name[name.rfind(".") :].lower() in VIDEO_SUFFIXES


def find_videos(folder: str | Path, above: str | Path | None = None) -> FoundVideos:
    """Videos below a folder: linked folders are followed, each real one is entered once.

    Left out are hidden files and folders, those that macOS, Windows and network disks add, and what
    does not end like a video. A folder is no video, whatever its name ends in.

    Args:
        folder: to search.
        above: folder that links must not lead back to.
    """
    paths: list[str] = []
    left_out: Counter[str] = Counter()
    seen = set() if above is None else {_identity(above)}
    folders, links = [""], []
    while folders or links:
        # Links last: a folder that lies here goes by its own name.
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
        for entry in entries:
            path = os.path.join(below, entry.name)  # noqa: PTH118
            if is_hidden(entry.name):
                left_out["hidden"] += 1
            elif entry.is_dir():
                (links if entry.is_symlink() else folders).append(path)
            elif not is_video_name(entry.name):
                left_out[_suffix_reason(entry.name)] += 1
            elif entry.is_symlink() or entry.is_file():
                # A link to nowhere as well: it is a listed video that cannot be read.
                paths.append(path)
            else:
                left_out["no regular file"] += 1
    return FoundVideos(sorted(paths, key=_parts), left_out)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or belongs to the system and not to its user."""
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def class_folders(place: Path) -> dict[str, FoundVideos]:
    """Folders directly below ``place`` and what is in each, in order of their names.

    Not among them are hidden folders, those of the system and those that are named like a video.
    """
    with os.scandir(place) as entries:
        names = sorted(
            entry.name
            for entry in entries
            if entry.is_dir() and not is_hidden(entry.name) and not is_video_name(entry.name)
        )
    return {name: find_videos(place / name, above=place) for name in names}


def _parts(path: str) -> list[str]:
    return path.split(os.sep)  # noqa: PTH206 - a third of the cost of Path


def _identity(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)  # noqa: PTH116
    return status.st_dev, status.st_ino


def _suffix_reason(name: str) -> str:
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
    return _WEBP if suffix == ".webp" else suffix or "without a suffix"
