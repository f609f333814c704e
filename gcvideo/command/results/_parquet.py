"""Parquet, made from finished lines of JSON."""

from pathlib import Path

from gcvideo._draft import draft_of


def require_pyarrow() -> None:
    """Raise ValueError, with what to install, unless parquet can be written."""
    try:
        import pyarrow  # noqa: F401, PLC0415 (an extra)
    except ImportError as error:
        raise ValueError(
            'output ends in .parquet, which needs pyarrow: pip install "gcvideo[parquet]", or give a file '
            "ending in .jsonl"
        ) from error


def write_parquet(lines: Path, output: Path) -> None:
    """Write lines of JSON as one table, with a row for each input, in groups of some ten thousand.

    Columns are those of the lines; one that no line has is left out, so a table without failures has no
    "error". Numbers are int64 and float64, classes a list of structures.
    """
    require_pyarrow()
    import pyarrow.json as reading  # noqa: PLC0415
    import pyarrow.parquet as parquet  # noqa: PLC0415

    with draft_of(output) as draft:
        parquet.write_table(reading.read_json(lines), draft)
