"""Data sets of rendered videos."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from rich.progress import track

from gcvideo.data.listing._annotation import Annotations, read_annotations
from gcvideo.data.listing._cache import cache_folder, writing_cache
from gcvideo.data.video._encoding import write_video

_ENCODING = {"crf": "18", "g": "16", "preset": "veryfast"}


def generated_set(
    root: str | None,
    *,
    name: str,
    spec: Any,
    classes: Sequence[str],
    videos_per_class: Mapping[str, int],
    render: Callable[[str, np.random.Generator], UInt8[np.ndarray, "t h w 3"]],
) -> dict[str, Annotations]:
    """The splits of a set of rendered h264 files, made on first use and a pure function of its spec.

    Video k of the set, counted over splits, classes and numbers in order, is drawn with
    ``default_rng([seed, k])``. The set appears under its name when all its files are written.

    Args:
        root: folder to keep the set in; None: ``$GCVIDEO_CACHE``, else ``~/.cache/gcvideo``.
        name: name of the set, for its folder and in messages.
        spec: data class with all that the videos depend on, ``seed`` among it; part of the folder's
            name, so that another spec is another set.
        classes: names in label order.
        videos_per_class: numbers of videos by split.
        render: makes the frames of one video from its class and its random numbers.
    """
    fingerprint = hashlib.sha256(json.dumps(asdict(spec), sort_keys=True).encode()).hexdigest()[:12]
    folder = cache_folder(root) / f"{name}-{fingerprint}"
    videos = [
        (Path(split, label, f"{label}_{number:03d}.mp4"), label)
        for split, per_class in videos_per_class.items()
        for label in classes
        for number in range(per_class)
    ]

    def write(draft: Path) -> None:
        for key, (path, label) in enumerate(track(videos, f"Making the {name} videos")):
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
            frames = render(label, np.random.default_rng([spec.seed, key]))
            write_video(draft / path, frames, options=_ENCODING)

    with writing_cache(folder):
        if not folder.is_dir():
            _make(folder, write)
        for split, per_class in videos_per_class.items():
            found, wanted = len(list(folder.glob(f"{split}/*/*"))), per_class * len(classes)
            if found != wanted:
                raise ValueError(
                    f"the {name} set in '{folder}' has {found} {split} videos instead of {wanted}; "
                    "delete the folder and it is made anew"
                )
    return {
        split: read_annotations(split, root=folder, classes=classes) for split in videos_per_class
    }


def _make(folder: Path, write: Callable[[Path], None]) -> None:
    """Have a folder written beside the final one, then rename it: there is never half a set."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write(draft)
        try:
            draft.rename(folder)
        except OSError:
            # Another process was faster; its set is the same, because the seed is.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
