"""Empty files for tests that look at names alone."""

from itertools import product
from pathlib import Path


def touch(root: Path, *names: str) -> Path:
    """Make empty files below a folder."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def touch_levels(root: Path, *levels: list[str]) -> Path:
    """Make two empty videos in each folder of the given levels; "" is no level."""
    for parts in product(*levels, ("0.mp4", "1.mp4")):
        touch(root, "/".join(filter(None, parts)))
    return root
