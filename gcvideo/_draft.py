"""Files that are whole or not there: written as a draft, which takes its place when it is finished."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def draft_of(path: Path, *, several_writers: bool = False) -> Iterator[Path]:
    """Give the path of a draft beside a file; an error leaves neither a draft nor a changed file.

    Args:
        path: file that the draft becomes; its ending is that of the draft too, since writers of
            pictures and videos choose their format by it.
        several_writers: whether other processes may write the file at the same time; each then has
            a draft of its own, and the last one wins.
    """
    writer = f"-{uuid4().hex}" if several_writers else ""
    draft = path.with_name(f".{path.stem}.draft{writer}{path.suffix}")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
