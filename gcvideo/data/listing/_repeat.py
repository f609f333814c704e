"""Files that are listed twice, or for training and for a test of it."""

import os
import warnings
from collections.abc import Mapping
from functools import cache

from gcvideo.data.listing._annotation import Annotations
from gcvideo.data.listing._list_store import LONG_LIST


def warn_of_repeats(splits: Mapping[str, Annotations]) -> None:
    """Warn of files that come twice in a split, and of training files in the others.

    Files are the same where their real paths are. In a list of 10,000 videos or more, links are
    resolved for folders alone, for each file would have to be asked for.

    Args:
        splits: by name, "train" among them.
    """
    train = splits["train"]
    others = {name: a for name, a in splits.items() if a is not train}
    if others["test"] is others.get("val"):
        del others["test"]
    files = real_files(train)
    _warn_of_twice("train", train, files)
    trained = set(files)
    for name, annotations in others.items():
        files = real_files(annotations)
        _warn_of_twice(name, annotations, files)
        shared = [video for video, file in enumerate(files) if file in trained]
        if shared:
            warnings.warn(
                f"{len(shared)} of {len(files)} videos of {name} are training videos too, such as "
                f"'{annotations.paths[shared[0]]}', so that its accuracy flatters; take them out of "
                "one of the two",
                stacklevel=3,
            )


def real_files(annotations: Annotations) -> list[str]:
    """The file of each video with its links resolved: those of folders, and of files in short lists."""
    is_short = len(annotations) < LONG_LIST

    # A Path each would take ten times as long.
    @cache
    def real_folder(folder: str) -> str:
        return os.path.realpath(os.path.join(annotations.root, folder))  # noqa: PTH118

    def real(path: str) -> str:
        folder, name = os.path.split(path)
        file = f"{real_folder(folder)}{os.sep}{name}"
        return os.path.realpath(file) if is_short and os.path.islink(file) else file  # noqa: PTH114

    return [real(path) for path in annotations.paths]


def _warn_of_twice(name: str, annotations: Annotations, files: list[str]) -> None:
    if len(set(files)) == len(files):
        return
    label_of: dict[str, int] = {}
    again, num_other = [], 0
    for video, (file, label) in enumerate(zip(files, annotations.labels.tolist(), strict=True)):
        if file in label_of:
            again.append(video)
            num_other += label_of[file] != label
        else:
            label_of[file] = label
    warnings.warn(
        f"{len(again)} of {len(files)} videos of {name} are listed again, such as "
        f"'{annotations.paths[again[0]]}'"
        + (f", {num_other} of them under another class" if num_other else "")
        + "; each counts as often as it is listed: take them out",
        stacklevel=4,
    )
