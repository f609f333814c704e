"""Feature vectors as files: an array of numpy with a table beside it, or parquet."""

import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from gcvideo._draft import draft_of
from gcvideo.command.results._parquet import arrow, write_parquet
from gcvideo.data.listing._list_file import write_table

_LITTLE_ENDIAN = "<f4"


class FeatureRow(NamedTuple):
    """A vector of a video, or of one of its windows; None if the video could not be read."""

    video: str
    times: tuple[float, float] | None
    vector: Float32[np.ndarray, " c"] | None
    error: str


def as_bytes(vector: Float32[np.ndarray, " c"]) -> str:
    """A vector in lines from which another file is made: half as long as its digits, and exact."""
    return base64.b64encode(vector.astype(_LITTLE_ENDIAN).tobytes()).decode()


def as_digits(vector: Float32[np.ndarray, " c"]) -> list[float]:
    """A vector in lines for people; float32 needs nine digits to come back as it was."""
    return [float(f"{value:.9g}") for value in vector.tolist()]


def write_npy(lines: Path, output: Path) -> None:
    """Write vectors as a float32 array (n, c), and ``OUTPUT.csv`` with what each row is of.

    The table has the columns video, start_seconds, end_seconds (of windows) and error. The row of a video
    that could not be read is not a number.
    """
    widths = {len(row.vector) for row in _rows(lines) if row.vector is not None}
    num_rows = sum(1 for _ in _rows(lines))
    width = widths.pop() if widths else 0
    table: list[Sequence[object]] = []
    with draft_of(output) as draft:
        array = np.lib.format.open_memmap(
            draft, mode="w+", dtype=np.float32, shape=(num_rows, width)
        )
        for number, row in enumerate(_rows(lines)):
            array[number] = np.nan if row.vector is None else row.vector
            times = ("", "") if row.times is None else row.times
            table.append([row.video, *times, row.error])
        array.flush()
        columns = ("video", "start_seconds", "end_seconds", "error")
        write_table(output.with_name(f"{output.name}.csv"), columns, table)


def write_feature_parquet(lines: Path, output: Path) -> None:
    """Write vectors as a table: video, start_seconds, end_seconds, features (lists of float32), error."""
    types = arrow()
    fields = [
        ("video", types.string()),
        ("start_seconds", types.float64()),
        ("end_seconds", types.float64()),
        ("features", types.list_(types.float32())),
        ("error", types.string()),
    ]
    write_parquet(output, fields, map(_as_columns, _rows(lines)))


def _as_columns(row: FeatureRow) -> dict[str, Any]:
    start, end = row.times or (None, None)
    return {
        "video": row.video,
        "start_seconds": start,
        "end_seconds": end,
        "features": row.vector,
        "error": row.error or None,
    }


def _rows(lines: Path) -> Iterator[FeatureRow]:
    with lines.open("rb") as file:
        for line in file:
            record = json.loads(line)
            video = record["video"]
            if "error" in record:
                yield FeatureRow(video, None, None, record["error"])
            elif "windows" in record:
                for window in record["windows"]:
                    times = window["start_seconds"], window["end_seconds"]
                    yield FeatureRow(video, times, _vector(window["features"]), "")
            else:
                yield FeatureRow(video, None, _vector(record["features"]), "")


def _vector(text: str) -> Float32[np.ndarray, " c"]:
    return np.frombuffer(base64.b64decode(text), _LITTLE_ENDIAN).astype(np.float32)
