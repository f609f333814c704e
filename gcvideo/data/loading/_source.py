"""The data set of a run: its splits, found and checked against each other."""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from gcvideo._invocation import command_line
from gcvideo.data.listing._annotation import (
    Annotations,
    read_annotations,
    read_classes,
    stratified_split,
)
from gcvideo.data.listing._grouping import groups_of, read_groups
from gcvideo.data.listing._path_list import LONG_LIST
from gcvideo.data.listing._video_folder import split_folders
from gcvideo.data.video._frame_index import FrameIndex


@dataclass(frozen=True)
class VideoSplits:
    """The annotated videos of a data set, with one list of class names for all splits.

    Args:
        train: training videos; none if only a test is wanted.
        val: videos watched during training.
        test: videos scored with all views.
        flip_pairs: names of classes that a horizontal flip exchanges.
        index: frame index of the files; None: each file is scanned when it is opened.
        max_bad_fraction: share of unreadable training videos above which training stops.
        time_budget_seconds: time for reading one file, after which it counts as unreadable; None: no
            limit.
        square_pixels: whether frames with oblong pixels get square ones, whatever the protocol says.
        is_drawn: whether train and val are random parts of one list.
        groups: group of each video by its path, of videos that are no independent evidence.

    Raises:
        ValueError: if splits disagree about classes, a flip pair names an unknown class or a number
            is out of range.
    """

    train: Annotations
    val: Annotations
    test: Annotations
    flip_pairs: tuple[tuple[str, str], ...] = ()
    index: FrameIndex | None = None
    max_bad_fraction: float = 0.01
    time_budget_seconds: float | None = 60.0
    square_pixels: bool = False
    is_drawn: bool = False
    groups: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.max_bad_fraction < 1:
            raise ValueError(
                f"max_bad_fraction is {self.max_bad_fraction}; a share of the training videos lies in "
                "[0, 1): try 0.01"
            )
        if self.time_budget_seconds is not None and not self.time_budget_seconds > 0:
            raise ValueError(
                f"time_budget_seconds is {self.time_budget_seconds}; give a number of seconds above 0, "
                "or null for no limit"
            )
        for name in ("val", "test"):
            other = getattr(self, name)
            if other.classes != self.classes:
                raise ValueError(
                    f"the {name} split has the classes {_short(other.classes)}, training "
                    f"{_short(self.classes)}; give one list for both with data.classes"
                )
        for name in (name for pair in self.flip_pairs for name in pair):
            if name not in self.classes:
                raise ValueError(
                    f"flip_pairs names {name!r}, which is not a class; classes: {_short(self.classes)}"
                )

    @property
    def classes(self) -> tuple[str, ...]:
        return self.train.classes

    @property
    def swapped_labels(self) -> dict[int, int]:
        """Label of the mirrored video, for classes that a flip exchanges."""
        labels = [(self.classes.index(a), self.classes.index(b)) for a, b in self.flip_pairs]
        return dict(labels) | {b: a for a, b in labels}


def _short(names: Sequence[str]) -> str:
    return f"[{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}] ({len(names)})"


def annotated_videos(  # noqa: PLR0913 - one argument per key of conf/data
    *,
    root: str,
    train: str | None = None,
    val: str | None = None,
    test: str | None = None,
    classes: str | Sequence[str] | None = None,
    val_fraction: float = 0.2,
    seed: int = 0,
    groups: str | None = None,
    flip_pairs: Sequence[Sequence[str]] = (),
    index: str | None = None,
    max_bad_fraction: float = 0.01,
    time_budget_seconds: float | None = 60.0,
    square_pixels: bool = False,
) -> VideoSplits:
    """A data set of your own: folders, lists or tables of videos.

    Each split is a folder with one folder per class, a text list of "path label", a CSV with a
    header, or an official Kinetics CSV; see :func:`~gcvideo.data.read_annotations`. A CSV with a
    ``split`` column can serve several splits. Folders of splits may be called train or training,
    val, valid or validation, test or testing, in any case. Files that are listed twice, or in two
    splits, cause a warning.

    Args:
        root: folder that paths in lists start from.
        train: source of the training split. None: the folder train of ``root`` if it has one, else
            the class folders of ``root``, divided into train and val.
        val: source of the validation split. None: the folder val of ``root`` if it has one, else a
            share of train.
        test: source of the test split. None: where val is None as well, the folder test of ``root``
            if it has one; else the same as val. Given alone, there is nothing to train on.
        classes: names in label order, or a text file with one name per line, below ``root`` or else
            below the working folder; None: taken from the lists.
        val_fraction: share of each class that becomes val if no val is given.
        seed: seed of that division.
        groups: table with the columns path and group of videos that belong together, such as the clips of
            one source: the division keeps them together, and a comparison counts them as one piece of
            evidence. None: each video stands by itself.
        flip_pairs: pairs of class names that a horizontal flip exchanges, such as left and right.
        index: file of a frame index; None: the one kept for ``root``, if there is one.
        max_bad_fraction: as in :class:`VideoSplits`.
        time_budget_seconds: as in :class:`VideoSplits`.
        square_pixels: as in :class:`VideoSplits`.

    Raises:
        FileNotFoundError, ValueError: naming the source, the row and the remedy.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"data.root is '{root}', which is not a folder; give the videos' folder"
        )
    names = classes
    if isinstance(names, str):
        below = folder / names
        names = read_classes(below if below.is_file() else names)
    if index is not None and not Path(index).is_file():
        raise FileNotFoundError(
            f"data.index is '{index}', which is not a file; make one with `{command_line('index')}` or "
            "leave data.index out"
        )
    group_of = None if groups is None else read_groups(groups, root=root)
    make_splits = partial(
        VideoSplits,
        groups=group_of,
        flip_pairs=tuple((str(a), str(b)) for a, b in flip_pairs),
        index=FrameIndex.of_root(root) if index is None else FrameIndex(index),
        max_bad_fraction=max_bad_fraction,
        time_budget_seconds=time_budget_seconds,
        square_pixels=square_pixels,
    )

    def read(source: str, split: str, names: Sequence[str] | None) -> Annotations:
        return read_annotations(source, root=root, classes=names, split=split)

    if test and not (train or val):
        only = read(test, "test", names)
        return make_splits(only.subset([]), only, only)
    given = {"train": train, "val": val, "test": test or val}
    found = split_folders(folder, names or (), [name for name in given if not given[name]])
    if found and not train and "train" not in found:
        raise ValueError(
            f"data.root is '{root}', which has a folder {' and one '.join(found)} but none called train; "
            f"give data.train, or data.test={next(iter(found.values()))} to only test; if they are "
            "classes, name all with data.classes"
        )
    train_list = read(train or found.get("train", str(folder)), "train", names)
    names = names or train_list.classes
    val_source = val or found.get("val")
    if val_source is None:
        grouped = None if group_of is None else groups_of(train_list.paths, group_of)
        train_list, val_list = stratified_split(train_list, val_fraction, seed, grouped)
    else:
        val_list = read(val_source, "val", names)
    test_source = test or found.get("test")
    test_list = read(test_source, "test", names) if test_source else val_list
    if group_of is not None:
        groups_of(test_list.paths, group_of)
    _warn_of_repeats(train_list, val_list, test_list)
    return make_splits(train_list, val_list, test_list, is_drawn=val_source is None)


def _warn_of_repeats(train: Annotations, val: Annotations, test: Annotations) -> None:
    """Warn of files that occur twice in a split, and of training files in the others.

    Files are the same if their real paths are. In a list of 10,000 videos or more, only links of folders
    are resolved, since each file would have to be looked up.
    """
    splits = {"train": train, "val": val} | ({} if test is val else {"test": test})
    trained: set[str] = set()
    for name, annotations in splits.items():
        files = real_files(annotations)
        _warn_of_twice(name, annotations, files)
        shared = [video for video, file in enumerate(files) if file in trained]
        trained = trained or set(files)
        if shared:
            warnings.warn(
                f"{len(shared)} of {len(files)} videos of {name} are training videos too, such as "
                f"'{annotations.paths[shared[0]]}', which makes its accuracy too good; remove them from one "
                "of the two",
                stacklevel=3,
            )


def real_files(annotations: Annotations) -> list[str]:
    """The file of each video with links resolved: those of folders, and of files in short lists."""
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
        + "; each counts as often as it is listed: remove the repetitions",
        stacklevel=4,
    )
