"""Lists and tables as text files, written whole or not at all."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from gcvideo._draft import draft_of
from gcvideo.data.listing._listing import INTEGER


def check_listable(paths: Iterable[str], classes: Sequence[str]) -> None:
    """Refuse what a list of "path label" cannot express.

    Raises:
        ValueError: names the path or the class, and what to rename.
    """
    for path in paths:
        if path != path.strip() or "\n" in path or "\r" in path:
            raise ValueError(
                f"the path {path!r} starts or ends with a space or has a line break, which a list of "
                '"path label" cannot hold; rename the file'
            )
    spaced = next((name for name in classes if len(name.split()) != 1), None)
    if spaced is not None and _writes_names(classes):
        number = next(name for name in classes if INTEGER.fullmatch(name))
        raise ValueError(
            f"the class {number!r} looks like a label and {spaced!r} has a space, so that a list of "
            '"path label" can name neither; rename one of them'
        )


def write_list(
    file: Path, paths: Sequence[str], labels: Int64[np.ndarray, " n"], classes: Sequence[str]
) -> None:
    """Write lines of "path label" that mean the same videos when they are read with ``classes``.

    Labels are numbers, or names if a class is called by a number. The folder must exist.
    """
    write_text(file, list_text(paths, labels, classes))


def list_text(paths: Sequence[str], labels: Int64[np.ndarray, " n"], classes: Sequence[str]) -> str:
    """What ``write_list`` writes."""
    texts = classes if _writes_names(classes) else [str(label) for label in range(len(classes))]
    rows = zip(paths, labels.tolist(), strict=True)
    return "".join(f"{path} {texts[label]}\n" for path, label in rows)


def write_table(file: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV with a header line, whole or not at all."""
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(file, text.getvalue())


def write_text(file: Path, text: str) -> None:
    """Write a text whole or not at all: a reader never sees half a file."""
    with draft_of(file) as draft:
        # File names need not be UTF-8; lists are read in the same way.
        draft.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")


def _writes_names(classes: Sequence[str]) -> bool:
    """Whether a class is called by a number, which readers would then take for its name."""
    named_by_label = all(name == str(label) for label, name in enumerate(classes))
    return not named_by_label and any(map(INTEGER.fullmatch, classes))
