"""Pickles of Caffe2, read without running code."""

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

_TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")


def read_blobs(path: str | Path) -> dict[str, Any]:
    """The ``"blobs"`` of a Caffe2 pickle, even of Python 2: arrays and plain values.

    The pickle only reaches stand-ins that collect the bytes of arrays: neither numpy's own unpickling
    nor any other code runs.
    """
    with Path(path).open("rb") as file:
        content = _BlobUnpickler(file, encoding="latin1").load()
    blobs = content.get("blobs") if isinstance(content, dict) else None
    if not isinstance(blobs, dict):
        raise ValueError('a pickle must hold {"blobs": {name: array}}, as those of Caffe2 do')
    return {
        str(name): value.array(str(name)) if isinstance(value, _Array) else value
        for name, value in blobs.items()
    }


class _Type:
    """Stands for ``numpy.dtype``."""

    def __init__(self, name: str, *_: object) -> None:
        self.name, self.order = name, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class _Array:
    """Stands for ``numpy.ndarray``; its state is shape, type, order and bytes."""

    def __init__(self, *_: object) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def array(self, name: str) -> Shaped[np.ndarray, "..."]:
        shape, kind, is_fortran, data = self.state[-4:]
        if not isinstance(kind, _Type) or kind.name not in _TYPES or kind.order not in "=|<>":
            raise ValueError(
                f"blob '{name}' is an array of '{getattr(kind, 'name', kind)}'; only numbers "
                f"({', '.join(_TYPES)}) are read"
            )
        dtype = np.dtype(kind.order + kind.name)
        content = data.encode("latin1") if isinstance(data, str) else data
        if len(content) != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"blob '{name}' has {len(content)} bytes for the shape {shape}")
        array = np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C")
        # PyTorch takes neither read-only memory nor foreign byte orders.
        return np.array(array, dtype.newbyteorder("="), order="C")


def _scalar(kind: object, data: object) -> _Array:
    array = _Array()
    array.state = ((), kind, False, data)
    return array


_STAND_INS = {
    "numpy.dtype": _Type,
    "numpy.ndarray": _Array,
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy.core.multiarray.scalar": _scalar,
    "_codecs.encode": lambda text, _: text.encode("latin1"),
}


class _BlobUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        stand_in = _STAND_INS.get(f"{module.replace('numpy._core', 'numpy.core')}.{name}")
        if stand_in is None:
            raise pickle.UnpicklingError(f"GLOBAL {module}.{name} is not that of an array")
        return stand_in
