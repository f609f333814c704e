"""Named numpy arrays in one file, read by memory mapping."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from jaxtyping import Shaped
from safetensors import SafetensorError
from safetensors.numpy import save_file

_DTYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "U16": "<u2",
    "I16": "<i2",
    "U32": "<u4",
    "I32": "<i4",
    "U64": "<u8",
    "I64": "<i8",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
}
_LENGTH_BYTES = 8


def write_arrays(
    path: str | Path,
    arrays: Mapping[str, Shaped[np.ndarray, "..."]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write arrays as one safetensors file, at once or not at all.

    Readers of an older file at ``path`` keep what they have mapped, and of several writers at once
    the last one wins.

    Args:
        path: in a folder that exists.
        arrays: of booleans, integers or floats, of any shape.
        metadata: texts kept beside the arrays.

    Raises:
        OSError: if the file cannot be written.
    """
    path = Path(path)
    draft = path.with_name(f".{path.name}-{uuid4().hex}")
    try:
        # For the usual errors, and for the usual permissions: safetensors lets only the owner read.
        draft.touch()
        mode = draft.stat().st_mode
        # save_file takes the memory as it lies; reshape undoes what 0-d arrays get from ascontiguous.
        plain = {
            name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()
        }
        save_file(plain, draft, dict(metadata) if metadata else None)
        draft.chmod(mode)
        draft.replace(path)
    except SafetensorError as error:
        raise OSError(
            f"'{path}' cannot be written ({error}); make room or choose another folder"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


class ArrayFile(Mapping[str, Shaped[np.ndarray, "..."]]):
    """Arrays of a safetensors file as read-only views of the mapped file.

    All processes that read the file share its pages. A pickle holds the path alone.

    Args:
        path: a file of :func:`write_arrays`, or any safetensors file of numpy types.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is cut short, damaged or holds types that numpy lacks.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._arrays, self.metadata = self._map()
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(
                f"'{self.path}' is no complete safetensors file ({error}); delete it and have it "
                "made anew"
            ) from error

    def _map(self) -> tuple[dict[str, Shaped[np.ndarray, "..."]], dict[str, str]]:
        content = np.memmap(self.path, np.uint8, "r")
        start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES].tobytes(), "little")
        header: dict[str, Any] = json.loads(content[_LENGTH_BYTES:start].tobytes())
        metadata = header.pop("__metadata__", {})
        end = start + max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if end != len(content):
            raise ValueError(f"{len(content)} bytes instead of {end}")
        return {name: _view(content, start, entry) for name, entry in header.items()}, metadata

    def __getitem__(self, name: str) -> Shaped[np.ndarray, "..."]:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __reduce__(self) -> tuple[type["ArrayFile"], tuple[Path]]:
        return ArrayFile, (self.path,)


def _view(content: np.memmap, start: int, entry: Mapping[str, Any]) -> Shaped[np.ndarray, "..."]:
    dtype, shape, (begin, end) = (
        np.dtype(_DTYPES[entry["dtype"]]),
        entry["shape"],
        entry["data_offsets"],
    )
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{end - begin} bytes for an array {shape} of {dtype}")
    return np.ndarray(shape, dtype, content, start + begin)
