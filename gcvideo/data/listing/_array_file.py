"""Named numpy arrays in one file, read by memory mapping, and rows of different lengths in them."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Integer, Shaped
from safetensors import SafetensorError
from safetensors.numpy import save_file

from gcvideo._draft import draft_of

_LENGTH_BYTES = 8
_ROWS_AT_ONCE = 65_536


def write_arrays(
    path: str | Path,
    arrays: Mapping[str, Shaped[np.ndarray, "..."]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write arrays of booleans, integers or floats as one safetensors file, whole or not at all.

    Readers of an older file at ``path`` keep what they have mapped; of several writers, the last wins.
    """
    path = Path(path)
    # save_file takes the memory as it is; reshape undoes what ascontiguousarray does to 0-d arrays.
    plain = {name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()}
    try:
        with draft_of(path, several_writers=True) as draft:
            # For the usual errors and permissions, because safetensors only lets the owner read.
            draft.touch()
            mode = draft.stat().st_mode
            save_file(plain, draft, dict(metadata) if metadata else None)
            draft.chmod(mode)
    except SafetensorError as error:
        raise OSError(
            f"'{path}' cannot be written ({error}); make room or choose another folder"
        ) from error


class ArrayFile(dict[str, Shaped[np.ndarray, "..."]]):
    """Arrays of a safetensors file as read-only views of the mapped file.

    All processes that read the file share its pages, and a pickle only holds the path. Raises ValueError
    if the file is truncated, damaged or has types that numpy lacks.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            arrays, self.metadata = self._map()
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(
                f"'{self.path}' is not a complete safetensors file ({error}); delete it and it will be "
                "made again"
            ) from error
        super().__init__(arrays)

    def _map(self) -> tuple[dict[str, Shaped[np.ndarray, "..."]], dict[str, str]]:
        content = np.memmap(self.path, np.uint8, "r")
        start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES].tobytes(), "little")
        header: dict[str, Any] = json.loads(content[_LENGTH_BYTES:start].tobytes())
        metadata = header.pop("__metadata__", {})
        end = start + max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if end != len(content):
            raise ValueError(f"{len(content)} bytes instead of {end}")
        return {name: _view(content, start, entry) for name, entry in header.items()}, metadata

    def __reduce__(self) -> tuple[type["ArrayFile"], tuple[Path]]:
        return ArrayFile, (self.path,)


def _view(content: np.memmap, start: int, entry: Mapping[str, Any]) -> Shaped[np.ndarray, "..."]:
    kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    # "I64" is numpy's "<i8".
    dtype = np.dtype("?" if kind == "BOOL" else f"<{kind[0].lower()}{int(kind[1:]) // 8}")
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{end - begin} bytes for an array {shape} of {dtype}")
    return np.ndarray(shape, dtype, content, start + begin)


class Ragged(NamedTuple):
    """Rows of different lengths in one flat array: row i is ``values[offsets[i]:offsets[i + 1]]``."""

    values: Shaped[np.ndarray, "v"]
    offsets: Integer[np.ndarray, "n+1"]

    @classmethod
    def from_rows(cls, rows: Iterable[Sequence[int] | np.ndarray], dtype: type) -> "Ragged":
        """Copies of the given rows."""
        arrays = [np.asarray(row, dtype) for row in rows]
        offsets = np.cumsum([0, *map(len, arrays)], dtype=np.int64)
        return cls(np.concatenate(arrays) if arrays else np.empty(0, dtype), offsets)

    def row(self, index: int) -> Shaped[np.ndarray, "w"]:
        """One row, as a view."""
        return self.values[int(self.offsets[index]) : int(self.offsets[index + 1])]

    def take(self, rows: Int[np.ndarray, "m"]) -> "Ragged":
        """The rows at ``rows``, in that order; negative ones count from the end."""
        starts = np.asarray(self.offsets[:-1], np.int64)[rows]
        lengths = np.asarray(self.offsets[1:], np.int64)[rows] - starts
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        values = np.empty(offsets[-1], self.values.dtype)
        # In parts, because the position of each value takes eight times the memory of a byte.
        for first in range(0, len(starts), _ROWS_AT_ONCE):
            goal = offsets[first : first + _ROWS_AT_ONCE + 1]
            shift = np.repeat(starts[first : first + _ROWS_AT_ONCE] - goal[:-1], np.diff(goal))
            values[goal[0] : goal[-1]] = self.values[shift + np.arange(goal[0], goal[-1])]
        return Ragged(values, offsets)

    def followed_by(self, other: "Ragged") -> "Ragged":
        """The rows of both."""
        offsets = np.concatenate([self.offsets, other.offsets[1:] + self.offsets[-1]])
        return Ragged(np.concatenate([self.values, other.values]), offsets.astype(np.int64))
