"""Files that are whole or not there: written as a draft, which takes its place when it is finished."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

_WRITER_DIGITS = 12


@contextmanager
def draft_of(path: Path, *, several_writers: bool = False) -> Iterator[Path]:
    """Give the path of a draft beside a file; an error leaves neither a draft nor a changed file.

    Args:
        path: file that the draft becomes; its ending is that of the draft too, since writers of
            pictures and videos choose their format by it.
        several_writers: whether other processes may write the file at the same time; each then has
            a draft of its own, and the last one wins.
    """
    writer = f"-{uuid4().hex[:_WRITER_DIGITS]}" if several_writers else ""
    draft = path.with_name(f".{path.stem}.draft{writer}{path.suffix}")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def no_drafts(paths: Iterable[Path]) -> Iterator[None]:
    """Before and after, delete the drafts of files that killed processes have left behind.

    Only those of several writers, because a single one writes its draft over. Each folder is listed once.
    """
    names: dict[Path, set[str]] = defaultdict(set)
    for path in paths:
        names[path.parent].add(path.name)
    _remove_drafts(names)
    try:
        yield
    finally:
        _remove_drafts(names)


def _remove_drafts(names: Mapping[Path, Collection[str]]) -> None:
    pattern = re.compile(rf"\.(.*)\.draft-[0-9a-f]{{{_WRITER_DIGITS}}}(\.[^.]*)?", re.DOTALL)
    for folder, known in names.items():
        for file in list(folder.iterdir()) if folder.is_dir() else ():
            match = pattern.fullmatch(file.name)
            if match is not None and f"{match[1]}{match[2] or ''}" in known:
                with suppress(PermissionError):  # Windows keeps what is open
                    file.unlink(missing_ok=True)
