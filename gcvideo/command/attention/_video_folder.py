"""The folder of a video's pictures, in a folder that holds those of many."""

import itertools
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

RECORD = "attention.json"


def video_folder(parent: Path, video: str) -> Path:
    """The folder named after a video: NAME, or NAME_2, ... if another video has that.

    It is the one whose record names the video, or else the first that is not there.
    """
    names = itertools.chain([""], (f"_{number}" for number in itertools.count(2)))
    folders = (parent / f"{Path(video).stem}{suffix}" for suffix in names)
    return next(
        folder
        for folder in folders
        if not folder.exists() or _record(folder).get("video") == recorded_name(video)
    )


def recorded_name(video: str) -> str:
    """The path that a record has of a video."""
    return str(Path(video).resolve())


def remove_earlier(folder: Path, written: Iterable[str]) -> None:
    """Remove what an earlier call wrote here, as its record says, and this one does not write."""
    for name in set(_record(folder).get("files", ())) - set(written):
        if Path(name).name == name:
            (folder / name).unlink(missing_ok=True)


def _record(folder: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return {}
