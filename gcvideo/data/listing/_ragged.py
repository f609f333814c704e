from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Integer, Shaped

_ROWS_AT_ONCE = 65_536


class Ragged(NamedTuple):
    """Rows of different lengths in one flat array: row i is ``values[offsets[i]:offsets[i + 1]]``.

    Args:
        values: all rows, one after the other.
        offsets: where each row starts, and the end of the last.
    """

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
        # In parts, because the position of each value takes eight times the room of a byte.
        for first in range(0, len(starts), _ROWS_AT_ONCE):
            goal = offsets[first : first + _ROWS_AT_ONCE + 1]
            shift = np.repeat(starts[first : first + _ROWS_AT_ONCE] - goal[:-1], np.diff(goal))
            values[goal[0] : goal[-1]] = self.values[shift + np.arange(goal[0], goal[-1])]
        return Ragged(values, offsets)

    def followed_by(self, other: "Ragged") -> "Ragged":
        """The rows of both."""
        offsets = np.concatenate([self.offsets, other.offsets[1:] + self.offsets[-1]])
        return Ragged(np.concatenate([self.values, other.values]), offsets.astype(np.int64))
