"""Long sample lists in files of the cache: shared by processes, and parsed once."""

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Shaped

from gcvideo.data.listing._array_file import ArrayFile, write_arrays
from gcvideo.data.listing._cache import CacheError, cache_folder
from gcvideo.data.listing._sample_list import PathList

LONG_LIST = 10_000
# Raised whenever a list may be parsed differently or its file looks different.
_VERSION = 2


def keep_list(
    paths: PathList, labels: Int64[np.ndarray, " n"], classes: Sequence[str]
) -> ArrayFile | None:
    """A file in the cache with this content, named by its hash; written unless it is there whole.

    None, with a warning, where the cache cannot be written.
    """
    arrays = {"text": paths.text, "offsets": paths.offsets, "labels": labels}
    metadata = {"classes": json.dumps(classes)}
    name = _digest(arrays, metadata)
    try:
        return _open(name)
    except (OSError, ValueError):
        pass
    try:
        _folder().mkdir(parents=True, exist_ok=True)
        write_arrays(_file(name), arrays, metadata)
        return ArrayFile(_file(name))
    except (OSError, CacheError) as error:
        warnings.warn(
            f"a list of {len(paths)} samples cannot be kept in the cache ({error}), so that every "
            "process holds its own copy; set GCVIDEO_CACHE to a folder that can be written",
            stacklevel=2,
        )
        return None


def kept_content(
    file: ArrayFile,
) -> tuple[PathList, Int64[np.ndarray, " n"], tuple[str, ...]]:
    """Paths, labels and class names of a kept list."""
    paths = PathList.from_arrays(file["text"], file["offsets"])
    return paths, file["labels"], tuple(json.loads(file.metadata["classes"]))


def source_key(source: Path, classes: Sequence[str] | None, split: str | None) -> str:
    """What a list file says and how it is asked: the same key, the same list.

    The bytes of the file count, not its time stamp, which copies keep and coarse clocks repeat.
    """
    with source.open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()
    chosen = None if classes is None else list(classes)
    asked = json.dumps([_VERSION, content, source.suffix.lower(), chosen, split])
    return hashlib.sha256(asked.encode()).hexdigest()


def remember_list(key: str, file: ArrayFile) -> None:
    """Note that the source of ``key`` holds the list in ``file``."""
    # A full disk costs the next run its time, not this run its life.
    with suppress(OSError, CacheError):
        write_arrays(_file(f"source-{key}"), {}, {"list": file.path.stem})


def recall_list(key: str) -> ArrayFile | None:
    """The list of a source; None if it was never read, or the cache was deleted or damaged."""
    try:
        return _open(ArrayFile(_file(f"source-{key}")).metadata["list"])
    except (OSError, ValueError, KeyError):
        return None


def _folder() -> Path:
    return cache_folder() / "lists"


def _file(name: str) -> Path:
    return _folder().absolute() / f"{name}.safetensors"


def _open(name: str) -> ArrayFile:
    file = ArrayFile(_file(name))
    if _digest(file, file.metadata) != name:
        raise ValueError(f"'{file.path}' is damaged; delete it and it is made anew")
    return file


def _digest(arrays: Mapping[str, Shaped[np.ndarray, "..."]], metadata: Mapping[str, str]) -> str:
    described = {name: (a.dtype.str, a.shape) for name, a in sorted(arrays.items())}
    digest = hashlib.sha256(json.dumps([described, dict(metadata)], sort_keys=True).encode())
    for _, values in sorted(arrays.items()):
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
