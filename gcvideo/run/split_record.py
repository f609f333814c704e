"""The split that a training has drawn, as lists that name it to others."""

from pathlib import Path

from gcvideo.console import Console
from gcvideo.data import VideoSplits, check_listable, write_text
from gcvideo.data.list_file import list_text
from gcvideo.hint import command, override

_CONSOLE = Console()


def record_split(folder: Path, splits: VideoSplits) -> None:
    """Write ``train.txt`` and ``val.txt`` of "path label" and ``classes.txt`` with the names.

    Where they are there already, from before a training was resumed, a split that differs is warned
    of, for it was drawn from other files: its validation has videos that were trained on.

    Args:
        folder: of the run.
        splits: whose train and val were drawn.
    """
    lists = {"train": splits.train, "val": splits.val}
    try:
        for annotations in lists.values():
            check_listable(annotations.paths, splits.classes)
    except ValueError as error:
        _CONSOLE.print(f"warning: the split is not written: {error}", soft_wrap=True)
        return
    texts = {
        folder / f"{name}.txt": list_text(annotations.paths, annotations.labels, splits.classes)
        for name, annotations in lists.items()
    }
    known = folder / "classes.txt"
    if any(_differs(file, text) for file, text in texts.items()):
        words = [override(f"data.{file.stem}", file) for file in texts]
        _CONSOLE.print(
            f"warning: the split in '{folder}' is another than the one drawn here, because files have come "
            f"or gone; to keep it: {command(*words, override('data.classes', known))}",
            soft_wrap=True,
        )
        return
    for file, text in texts.items():
        write_text(file, text)
    write_text(known, "".join(f"{name}\n" for name in splits.classes))


def _differs(file: Path, text: str) -> bool:
    return file.is_file() and file.read_bytes() != text.encode("utf-8", "surrogateescape")
