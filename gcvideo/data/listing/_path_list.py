"""Long lists of paths: as two flat arrays, and in shared files of the cache that are parsed once."""

import hashlib
import json
import operator
import warnings
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import overload

import numpy as np
from jaxtyping import Int, Int64, Integer, Shaped, UInt8

from gcvideo.data.listing._array_file import ArrayFile, Ragged, write_arrays
from gcvideo.data.listing._cache import CacheError, cache_folder

LONG_LIST = 10_000
_NUM_AT_ONCE = 10_000
# To be raised whenever lists are parsed differently or their files change in format.
_VERSION = 2


class PathList(Sequence[str]):
    """An immutable sequence of texts, kept as UTF-8 bytes and offsets.

    Path i is ``text[offsets[i]:offsets[i + 1]]``. A forked worker that reads it writes no reference
    counts into it, so the memory stays shared. The error handler is surrogatepass, because Python uses a
    lone surrogate for each byte of a file name that is not UTF-8.
    """

    def __init__(self, text: UInt8[np.ndarray, " n"], offsets: Integer[np.ndarray, " m"]) -> None:
        # Of a list that is read from a file, nothing is copied.
        self.text, self.offsets = text.view(), offsets.view()
        for values in (self.text, self.offsets):
            values.flags.writeable = False
        # Takes a third of the time of indexing the arrays.
        self._text, self._offsets = self.text.data, self.offsets.data

    @classmethod
    def of(cls, paths: Iterable[str]) -> "PathList":
        """``paths`` itself if it is one, else a list of them."""
        if isinstance(paths, PathList):
            return paths
        text, lengths = bytearray(), array("q", [0])
        rest = iter(paths)
        while chunk := list(islice(rest, _NUM_AT_ONCE)):
            joined = "".join(chunk)
            text += _encoded(joined)
            is_ascii = joined.isascii()  # then a character is a byte
            lengths.extend(map(len, chunk if is_ascii else map(_encoded, chunk)))
        offsets = np.cumsum(np.frombuffer(lengths, np.int64))
        return cls(np.frombuffer(text, np.uint8), _narrow(offsets))

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "PathList": ...
    def __getitem__(self, index: int | slice) -> "str | PathList":
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        row = index if index >= 0 else index + len(self)
        if not 0 <= row < len(self._offsets) - 1:
            raise IndexError(f"there is no path {index} in a list of {len(self)}; count from 0")
        offsets = self._offsets
        return str(self._text[offsets[row] : offsets[row + 1]], "utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        start = 0
        for end in self._offsets[1:]:
            yield str(self._text[start:end], "utf-8", "surrogatepass")
            start = end

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PathList):
            return np.array_equal(self.offsets, other.offsets) and np.array_equal(
                self.text, other.text
            )
        if isinstance(other, Sequence) and not isinstance(other, str):
            return len(self) == len(other) and all(map(operator.eq, self, other))
        return NotImplemented

    # Equal to tuples, whose hash would require making all of its texts.
    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return f"PathList of {len(self)}"

    def __reduce__(self) -> tuple[object, ...]:
        return PathList, (self.text, self.offsets)

    def take(self, indices: Sequence[int] | Int[np.ndarray, " m"]) -> "PathList":
        """The paths at ``indices``, in that order; negative ones count from the end."""
        chosen = np.asarray(indices, dtype=np.int64)
        taken = Ragged(self.text, self.offsets).take(chosen)
        return PathList(taken.values, _narrow(taken.offsets))


def _encoded(path: str) -> bytes:
    return path.encode("utf-8", "surrogatepass")


def _narrow(offsets: Integer[np.ndarray, " m"]) -> Integer[np.ndarray, " m"]:
    return offsets.astype(np.uint32) if offsets[-1] <= np.iinfo(np.uint32).max else offsets


def keep_list(
    paths: PathList, labels: Int64[np.ndarray, " n"], classes: Sequence[str]
) -> ArrayFile | None:
    """A file in the cache with this content, named by its hash; written unless it is there whole.

    None, with a warning, if the cache cannot be written.
    """
    arrays = {"text": paths.text, "offsets": paths.offsets, "labels": labels}
    metadata = {"classes": json.dumps(classes)}
    name = _digest(arrays, metadata)
    with suppress(OSError, ValueError):
        return _open(name)
    try:
        file = _file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(file, arrays, metadata)
        return ArrayFile(file)
    except (OSError, CacheError) as error:
        warnings.warn(
            f"a list of {len(paths)} samples cannot be kept in the cache ({error}), so every "
            "process holds its own copy; set GCVIDEO_CACHE to a folder that can be written",
            stacklevel=2,
        )
        return None


def source_key(source: Path, classes: Sequence[str] | None, split: str | None) -> str:
    """A key for the content of a list file and the arguments of its reading.

    The bytes of the file count, not its time stamp, which copies keep and coarse clocks repeat.
    """
    with source.open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()
    chosen = None if classes is None else list(classes)
    asked = json.dumps([_VERSION, content, source.suffix.lower(), chosen, split])
    return hashlib.sha256(asked.encode()).hexdigest()


def remember_list(key: str, file: ArrayFile) -> None:
    """Note that the source of ``key`` holds the list in ``file``."""
    # A full disk costs the next run time, but must not end this one.
    with suppress(OSError, CacheError):
        write_arrays(_file(f"source-{key}"), {}, {"list": file.path.stem})


def recall_list(key: str) -> ArrayFile | None:
    """The list of a source; None if it was never read, or the cache was deleted or damaged."""
    try:
        return _open(ArrayFile(_file(f"source-{key}")).metadata["list"])
    except (OSError, ValueError, KeyError):
        return None


def _file(name: str) -> Path:
    return cache_folder().absolute() / "lists" / f"{name}.safetensors"


def _open(name: str) -> ArrayFile:
    file = ArrayFile(_file(name))
    if _digest(file, file.metadata) != name:
        raise ValueError(f"'{file.path}' is damaged; delete it and it will be made again")
    return file


def _digest(arrays: Mapping[str, Shaped[np.ndarray, "..."]], metadata: Mapping[str, str]) -> str:
    described = {name: (a.dtype.str, a.shape) for name, a in sorted(arrays.items())}
    digest = hashlib.sha256(json.dumps([described, dict(metadata)], sort_keys=True).encode())
    for _, values in sorted(arrays.items()):
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
