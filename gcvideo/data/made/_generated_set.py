import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from rich.progress import track

from gcvideo.data.listing._annotation import Annotations, read_annotations
from gcvideo.data.listing._cache import cache_folder, writing_cache
from gcvideo.data.video._encoding import write_video

_ENCODING = {"crf": "18", "g": "16", "preset": "veryfast"}


@dataclass(frozen=True, kw_only=True)
class GeneratedSet:
    """A data set of rendered h264 files, made on first use and a pure function of its description.

    Video k of the set, counted over splits, classes and numbers in order, is drawn with
    ``default_rng([seed, k])``. The set appears under its name when all its files are written.

    Args:
        name: of the set, for its folder and in messages.
        spec: a data class with all that the videos depend on; part of the folder's name, so that
            another spec is another set.
        classes: names in label order.
        videos_per_class: of each split, by its name.
        seed: of all drawings.
        render: the frames of one video from its class and its random numbers.
    """

    name: str
    spec: Any
    classes: tuple[str, ...]
    videos_per_class: Mapping[str, int]
    seed: int
    render: Callable[[str, np.random.Generator], UInt8[np.ndarray, "t h w 3"]]

    def splits(self, root: str | None = None) -> dict[str, Annotations]:
        """The videos of each split; made first where the folder does not exist.

        Args:
            root: folder to keep the set in; None: ``$GCVIDEO_CACHE``, else ``~/.cache/gcvideo``.

        Raises:
            ValueError: if videos of the folder are missing.
            CacheError: if the folder cannot be made.
        """
        folder = cache_folder(root) / f"{self.name}-{_fingerprint(self.spec)}"
        with writing_cache(folder):
            if not folder.is_dir():
                self._make(folder)
            self._check_complete(folder)
        return {
            split: read_annotations(split, root=folder, classes=self.classes)
            for split in self.videos_per_class
        }

    def _videos(self) -> list[tuple[Path, str]]:
        """Place below the folder and class of every video, in the order of their random numbers."""
        return [
            (Path(split, name, f"{name}_{number:03d}.mp4"), name)
            for split, per_class in self.videos_per_class.items()
            for name in self.classes
            for number in range(per_class)
        ]

    def _check_complete(self, folder: Path) -> None:
        for split, per_class in self.videos_per_class.items():
            found, wanted = len(list(folder.glob(f"{split}/*/*"))), per_class * len(self.classes)
            if found != wanted:
                raise ValueError(
                    f"the {self.name} set in '{folder}' has {found} {split} videos instead of "
                    f"{wanted}; delete the folder and it is made anew"
                )

    def _make(self, folder: Path) -> None:
        """Write all videos beside the final folder, then rename it: there is never half a set."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            videos = track(self._videos(), f"Making the {self.name} videos")
            for key, (path, class_name) in enumerate(videos):
                (draft / path).parent.mkdir(parents=True, exist_ok=True)
                frames = self.render(class_name, np.random.default_rng([self.seed, key]))
                write_video(draft / path, frames, options=_ENCODING)
            try:
                draft.rename(folder)
            except OSError:
                # Another process was faster; its set is the same, for the seed is.
                if not folder.is_dir():
                    raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _fingerprint(spec: Any) -> str:
    return hashlib.sha256(json.dumps(asdict(spec), sort_keys=True).encode()).hexdigest()[:12]
