import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo._hint import command, override
from gcvideo._invocation import command_line
from gcvideo.command._output_check import make_folder
from gcvideo.command._record import write_json
from gcvideo.command.dataset._histogram import Histogram, draw_histograms
from gcvideo.data import Annotations, VideoSplits, parallel_map
from gcvideo.data.listing._list_file import (
    check_listable,
    write_list,
    write_table,
    write_text,
)
from gcvideo.data.video._check_journal import CheckJournal, FileStamp
from gcvideo.data.video._checking import VideoCheck, check_video

_CONSOLE = Console()
_NUM_SHOWN = 10
_COLUMNS = (
    *("path", "status", "reason", "num_frames", "num_promised", "damaged_packets"),
    *("corrupt_frames", "fps", "width", "height", "duration_seconds"),
    *("sample_aspect_ratio", "remarks"),
)


@dataclass(frozen=True)
class CheckReport:
    """What a check of a data set found.

    Args:
        checks: finding by listed path.
        problems: why a training or a test on these videos would end early; empty if it would not.
        folder: of the tables and lists.
    """

    checks: Mapping[str, VideoCheck]
    problems: tuple[str, ...]
    folder: Path


def check(cfg: DictConfig) -> CheckReport:
    """Decode every video of the splits from end to end, as configured by ``conf/check.yaml``.

    The output folder gets ``videos.csv``, ``bad_videos.csv``, ``histograms.png``, ``classes.txt``
    and clean lists of "path label" without unreadable videos: ``train.txt``, ``val.txt``, and
    ``test.txt`` if it differs from val. ``journal.csv`` gets each finding as it comes: the next check
    decodes only what has changed since, and what could not be read.

    Raises:
        ValueError: if the folder holds the check of videos below another root, or a path cannot
            stand in a list.
    """
    splits = cast(VideoSplits, instantiate(cfg.data, _convert_="all"))
    lists = _lists(splits)
    files = {a.paths[i]: a.path(i) for a in lists.values() for i in range(len(a))}
    check_listable(files, splits.classes)
    root = Path(splits.val.root).resolve()
    folder = Path(cfg.output_dir) if cfg.output_dir else Path("checks") / (root.name or "root")
    _claim(folder, root)
    checks = _check_all(folder, files, cfg.num_workers, cfg.time_budget_seconds)
    _write_tables(folder, checks)
    _write_lists(folder, lists, checks, splits.classes, cfg.drop_damaged)
    histograms = _histograms(checks)
    draw_histograms(histograms, folder / "histograms.png")
    problems = _problems(lists, checks, splits.max_bad_fraction)
    for histogram in histograms:
        _CONSOLE.print(histogram.text(min(_CONSOLE.width, 80)), soft_wrap=True)
    _show(folder, lists, checks, problems, splits.square_pixels)
    return CheckReport(checks, problems, folder)


def _lists(splits: VideoSplits) -> dict[str, Annotations]:
    """The splits that were given: val serves as test where there is none, and the other way round."""
    if not len(splits.train):
        return {"test": splits.test}
    lists = {"train": splits.train, "val": splits.val, "test": splits.test}
    if _same(splits.test, splits.val):
        del lists["test"]
    return lists


def _same(one: Annotations, other: Annotations) -> bool:
    return one is other or (
        list(one.paths) == list(other.paths) and np.array_equal(one.labels, other.labels)
    )


def _claim(folder: Path, root: Path) -> None:
    """Note the root in the folder, so that its tables never mix videos of the same name."""
    note = folder / "check.json"
    if note.exists() and (before := json.loads(note.read_text(encoding="utf-8"))["root"]) != str(
        root
    ):
        raise ValueError(
            f"'{folder}' holds the check of the videos in '{before}', not '{root}'; choose another "
            f"output_dir, or delete '{note}' if the videos were moved"
        )
    make_folder(folder, "output_dir")
    write_json(note, {"root": str(root)})


def _check_all(
    folder: Path, files: Mapping[str, str], num_workers: int | None, seconds: float | None
) -> dict[str, VideoCheck]:
    """Findings in the order of ``files``, those of the journal taken over."""
    with CheckJournal(folder / "journal.csv") as journal:
        stamps = {path: FileStamp.of(file) for path, file in files.items()}
        found = {path: journal.recall(path, stamp) for path, stamp in stamps.items()}
        due = [path for path, known in found.items() if known is None]
        known = len(files) - len(due)
        _CONSOLE.print(f"{len(files)} videos, {known} of them checked before and unchanged since")
        results = parallel_map(
            partial(check_video, time_budget_seconds=seconds),
            [files[path] for path in due],
            description="Checking",
            num_workers=num_workers,
        )
        for item, result in results:
            path = due[item]
            if not isinstance(result, VideoCheck):
                result = VideoCheck("unreadable", f"the decoder crashes on it: {result}")
            journal.add(path, stamps[path], result)
            found[path] = result
    return {path: check for path, check in found.items() if check is not None}


def _write_tables(folder: Path, checks: Mapping[str, VideoCheck]) -> None:
    rows = ((path, *(getattr(c, name) for name in _COLUMNS[1:])) for path, c in checks.items())
    write_table(folder / "videos.csv", _COLUMNS, rows)
    columns = ("path", "status", "reason", "damaged_packets")
    bad = (
        (path, c.status, c.reason, c.damaged_packets)
        for path, c in checks.items()
        if c.status != "ok"
    )
    write_table(folder / "bad_videos.csv", columns, bad)


def _write_lists(
    folder: Path,
    lists: Mapping[str, Annotations],
    checks: Mapping[str, VideoCheck],
    classes: tuple[str, ...],
    drop_damaged: bool,
) -> None:
    dropped = {"unreadable", "damaged"} if drop_damaged else {"unreadable"}
    for name, annotations in lists.items():
        kept = [i for i, path in enumerate(annotations.paths) if checks[path].status not in dropped]
        clean = annotations.subset(kept)
        write_list(folder / f"{name}.txt", clean.paths, clean.labels, classes)
    for name in {"train", "val", "test"} - lists.keys():
        # Of an earlier check with other splits.
        (folder / f"{name}.txt").unlink(missing_ok=True)
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in classes))


def _histograms(checks: Mapping[str, VideoCheck]) -> list[Histogram]:
    readable = [check for check in checks.values() if check.status != "unreadable"]
    return [
        Histogram.of_numbers("duration (s)", [check.duration_seconds for check in readable]),
        Histogram.of_texts("frame rate (1/s)", [f"{round(check.fps, 2):g}" for check in readable]),
        Histogram.of_numbers("short side (px)", [min(c.width, c.height) for c in readable]),
        Histogram.of_texts("frame size (px)", [f"{c.width}x{c.height}" for c in readable]),
    ]


def _problems(
    lists: Mapping[str, Annotations], checks: Mapping[str, VideoCheck], max_bad_fraction: float
) -> tuple[str, ...]:
    problems = []
    for name, annotations in lists.items():
        unreadable = sum(checks[path].status == "unreadable" for path in annotations.paths)
        share = unreadable / max(len(annotations), 1)
        if name == "train" and share > max_bad_fraction:
            problems.append(
                f"{unreadable} of {len(annotations)} training videos cannot be read, {share:.2%}, "
                f"above data.max_bad_fraction = {max_bad_fraction:.2%}: training would stop"
            )
        elif name != "train" and unreadable:
            problems.append(
                f"{unreadable} of {len(annotations)} videos of {name} cannot be read: the metrics "
                "would not stand for the list"
            )
    return tuple(problems)


def _remarks(checks: Mapping[str, VideoCheck], square_pixels: bool) -> list[str]:
    """What is unusual about readable videos, with their number."""
    count = Counter(
        remark for check in checks.values() for remark in filter(None, check.remarks.split("; "))
    )
    lines = [f"  {number} x  {remark}" for remark, number in count.most_common()]
    if lines:
        lines.insert(0, "unusual pictures, named in videos.csv:")
    anamorphic = sum(check.sample_aspect_ratio != "1:1" for check in checks.values())
    if anamorphic:
        lines.append(
            f"{anamorphic} of {len(checks)} videos are anamorphic: their pixels are oblong, and "
            + (
                "are made square"
                if square_pixels
                else "stay so; data.square_pixels=true shows them as players do"
            )
        )
    return lines


def _show(
    folder: Path,
    lists: Mapping[str, Annotations],
    checks: Mapping[str, VideoCheck],
    problems: tuple[str, ...],
    square_pixels: bool,
) -> None:
    count = Counter(check.status for check in checks.values())
    lines = [
        f"{len(checks)} videos: {count['ok']} ok, {count['damaged']} damaged, "
        f"{count['unreadable']} unreadable"
    ]
    bad = sorted(
        ((path, check) for path, check in checks.items() if check.status != "ok"),
        key=lambda item: item[1].status != "unreadable",
    )
    lines += [f"  {check.status}  {path}: {check.reason}" for path, check in bad[:_NUM_SHOWN]]
    if len(bad) > _NUM_SHOWN:
        lines.append(f"  and {len(bad) - _NUM_SHOWN} more, see bad_videos.csv")
    lines += _remarks(checks, square_pixels)
    for name, annotations in lists.items():
        if annotations.num_missing:
            lines.append(
                f"{annotations.num_missing} videos listed for {name} have no file; "
                f"`{command_line('kinetics')}` tells which"
            )
    lines += problems
    words = [override(f"data.{name}", folder / f"{name}.txt") for name in lists]
    words.append(override("data.classes", folder / "classes.txt"))
    lines.append(f"lists without them: {command(*words)}")
    for line in lines:
        _CONSOLE.print(line, soft_wrap=True)
