"""The folder for what can be made again: the demo and cue sets, long sample lists."""

import os
from pathlib import Path


def cache_folder(root: str | None = None) -> Path:
    """``root``, else ``$GCVIDEO_CACHE``, else ``~/.cache/gcvideo``; it need not exist yet."""
    return Path(root or os.environ.get("GCVIDEO_CACHE") or Path.home() / ".cache" / "gcvideo")
