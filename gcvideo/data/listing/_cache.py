"""The folder for files that can be made again: demo and cue sets, frame indexes, long sample lists."""

import os
from pathlib import Path

CACHE_REMEDY = "keep such files elsewhere with GCVIDEO_CACHE=/a/folder in front of the command"


class CacheError(ValueError):
    """A cache folder that cannot be found or written."""


def cache_folder(root: str | None = None) -> Path:
    """``root``, else ``$GCVIDEO_CACHE``, else ``~/.cache/gcvideo``; it need not exist yet."""
    given = root or os.environ.get("GCVIDEO_CACHE")
    if given:
        return Path(given)
    try:
        return Path.home() / ".cache" / "gcvideo"
    except RuntimeError as error:
        raise CacheError(
            f"there is no '~/.cache/gcvideo', because this user has no home folder ({error}); {CACHE_REMEDY}"
        ) from error
