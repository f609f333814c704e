"""Data sets of rendered videos."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from rich.progress import track

from gcvideo.data.listing._annotation import Annotations, read_annotations
from gcvideo.data.listing._cache import CACHE_REMEDY, CacheError, cache_folder
from gcvideo.data.video._encoding import write_video

# Without mbtree=0, libx264 writes other bytes each time on processors with AVX-512, of the same frames.
_ENCODING = {"crf": "18", "g": "16", "preset": "veryfast", "x264-params": "mbtree=0"}


def generated_set(
    root: str | None,
    *,
    name: str,
    version: int,
    seed: int,
    classes: Sequence[str],
    videos_per_class: Mapping[str, int],
    render: Callable[..., UInt8[np.ndarray, "t h w 3"]],
    drawing: Mapping[str, float],
) -> dict[str, Annotations]:
    """The splits of a set of rendered h264 files, made on first use and a pure function of the arguments.

    ``render`` makes the frames of a video from its class, its random numbers and what ``drawing`` has.
    Video k of the set, counted over splits, classes and numbers in order, is drawn with
    ``default_rng([seed, k])``. The folder's name depends on everything that the videos depend on; ``version``
    stands for the code of ``render``.
    """
    content = {f"{split}_per_class": number for split, number in videos_per_class.items()}
    content |= {"version": version, "seed": seed, "encoding": _ENCODING, **drawing}
    fingerprint = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    folder = cache_folder(root) / f"{name}-{fingerprint}"
    videos = [
        (Path(split, label, f"{label}_{number:03d}.mp4"), label)
        for split, per_class in videos_per_class.items()
        for label in classes
        for number in range(per_class)
    ]
    try:
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            # Written beside the final folder, then renamed: there is never half a set.
            with tempfile.TemporaryDirectory(
                prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True
            ) as draft:
                for key, (path, label) in enumerate(track(videos, f"Making the {name} videos")):
                    (draft / path).parent.mkdir(parents=True, exist_ok=True)
                    frames = render(label, np.random.default_rng([seed, key]), **drawing)
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
    except OSError as error:
        reason = error.strerror or str(error)
        raise CacheError(
            f"'{folder}' cannot be read and written ({reason}); {CACHE_REMEDY}"
        ) from error
    return {
        split: read_annotations(split, root=folder, classes=classes) for split in videos_per_class
    }
