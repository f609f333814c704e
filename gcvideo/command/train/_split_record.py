"""The split that a training has drawn, as lists that name it to others."""

from pathlib import Path

from gcvideo._console import Console
from gcvideo.data import VideoSplits, check_listable, write_text
from gcvideo.data.listing._list_file import list_text

_CONSOLE = Console()


def record_split(folder: Path, splits: VideoSplits) -> None:
    """Write ``train.txt`` and ``val.txt`` of "path label" and ``classes.txt`` with the names.

    A resumed run writes them anew, for it may have accepted other videos, from which another split
    was drawn.

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
    for name, annotations in lists.items():
        text = list_text(annotations.paths, annotations.labels, splits.classes)
        write_text(folder / f"{name}.txt", text)
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in splits.classes))
