"""Data sets of rendered videos."""

import hashlib
import json
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
    ``default_rng([seed, k])``. ``spec`` is a data class with everything that the videos depend on,
    including ``seed``; it is part of the folder's name. ``render`` makes the frames of a video from its
    class and its random numbers.
    """
    fingerprint = hashlib.sha256(json.dumps(asdict(spec), sort_keys=True).encode()).hexdigest()[:12]
    folder = cache_folder(root) / f"{name}-{fingerprint}"
    videos = [
        (Path(split, label, f"{label}_{number:03d}.mp4"), label)
        for split, per_class in videos_per_class.items()
        for label in classes
        for number in range(per_class)
    ]
    with writing_cache(folder):
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            # Written beside the final folder, then renamed: there is never half a set.
            with tempfile.TemporaryDirectory(
                prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True
            ) as draft:
                for key, (path, label) in enumerate(track(videos, f"Making the {name} videos")):
                    (draft / path).parent.mkdir(parents=True, exist_ok=True)
                    frames = render(label, np.random.default_rng([spec.seed, key]))
                    write_video(draft / path, frames, options=_ENCODING)
                try:
                    Path(draft).rename(folder)
                except OSError:
                    # Another process was faster; its set is the same, because the seed is.
                    if not folder.is_dir():
                        raise
        for split, per_class in videos_per_class.items():
            found, wanted = len(list(folder.glob(f"{split}/*/*"))), per_class * len(classes)
            if found != wanted:
                raise ValueError(
                    f"the {name} set in '{folder}' has {found} {split} videos instead of {wanted}; "
                    "delete the folder and it will be made again"
                )
    return {
        split: read_annotations(split, root=folder, classes=classes) for split in videos_per_class
    }
