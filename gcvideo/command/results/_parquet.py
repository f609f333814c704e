"""Tables in parquet, written in groups of rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from gcvideo._draft import draft_of

_ROWS_AT_ONCE = 1024


def arrow() -> Any:
    """The module pyarrow; ValueError, with what to install, if it is not there."""
    try:
        import pyarrow  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise ValueError(
            'output ends in .parquet, which needs pyarrow: pip install "gcvideo[parquet]", or give a file '
            "ending in .jsonl"
        ) from error
    return pyarrow


def write_parquet(
    output: Path, fields: Sequence[tuple[str, Any]], rows: Iterable[Mapping[str, Any]]
) -> None:
    r"""Write rows with these fields (name and type of pyarrow), whole or not at all; what a row lacks is null.

    Bytes of file names that are not UTF-8, which parquet cannot hold, become ``\udcff``.
    """
    from pyarrow import parquet  # noqa: PLC0415

    schema = arrow().schema(fields)
    with draft_of(output) as draft, parquet.ParquetWriter(draft, schema) as writer:
        for group in _groups(rows):
            writer.write_batch(arrow().RecordBatch.from_pylist(group, schema=schema))


def _groups(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    left = iter(rows)
    while group := [_encodable(row) for row in islice(left, _ROWS_AT_ONCE)]:
        yield group


def _encodable(row: Mapping[str, Any]) -> dict[str, Any]:
    texts = {
        name: value.encode(errors="backslashreplace").decode()
        for name, value in row.items()
        if isinstance(value, str)
    }
    return {**row, **texts}
