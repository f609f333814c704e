"""Files that are whole or not there: written as a draft, which takes its place when it is finished."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Give the path of a draft beside a file; an error leaves neither a draft nor a changed file.

    Args:
        path: file that the draft becomes; its ending is that of the draft too, since writers of
            pictures and videos choose their format by it.
    """
    draft = path.with_name(f".{path.stem}.draft{path.suffix}")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
