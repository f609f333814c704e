"""``gcvideo reencode``: makes small copies of the videos of a data set."""

import os
import shlex
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.filesize import decimal

from gcvideo._console import Console
from gcvideo._hint import override
from gcvideo.command.dataset._work import (
    claim_folder,
    configured_splits,
    show_first,
    work_through,
    write_lists,
)
from gcvideo.data import Annotations, Reencoding, check_listable, reencode_video, write_table

_CONSOLE = Console()
_SETTINGS = ("short_side", "gop_size", "crf", "preset")


def reencode(cfg: DictConfig) -> dict[str, str]:
    """Re-encode every video of the splits, as configured by ``conf/reencode.yaml``.

    ``output`` gets each video once, under its relative path with the suffix ``.mp4``; the lists
    ``train.txt``, ``val.txt`` and ``test.txt`` (if it differs from val) of "path label"; and
    ``classes.txt``. Videos that failed are listed in ``failed.csv`` instead. A target newer than its
    source is kept, so an interrupted run continues where it stopped.

    Returns:
        The reason for each video that failed, by path.

    Raises:
        ValueError: if ``output`` is inside the folder of videos or contains videos made with other
            settings, or if two videos would get the same target.
    """
    splits, lists = configured_splits(cfg)
    output = Path(cfg.output)
    targets = find_targets(lists.values(), output)
    settings = {name: cfg[name] for name in _SETTINGS}
    check_listable(targets.values(), splits.classes)
    claim_folder(output, "output", "reencoding.json", settings)

    made: list[Reencoding] = []
    failures: dict[str, str] = {}
    jobs = {source: (Path(source), output / target) for source, target in targets.items()}
    for source, result in work_through(partial(_renew, settings), jobs, "Re-encoding", cfg):
        if isinstance(result, Reencoding):
            made.append(result)
        elif result is not None:
            failures[source] = str(result)

    written = {}
    for name, annotations in lists.items():
        sources = [_absolute(annotations, video) for video in range(len(annotations))]
        kept = [video for video, source in enumerate(sources) if source not in failures]
        written[name] = ([targets[sources[video]] for video in kept], annotations.labels[kept])
    write_lists(output, written, splits.classes)
    (output / "failed.csv").unlink(missing_ok=True)
    if failures:
        write_table(output / "failed.csv", ("path", "reason"), sorted(failures.items()))
    _show(made, len(jobs), failures)
    words = ["data=folder", override("data.root", output)]
    words += [f"data.{name}={name}.txt" for name in lists]
    _CONSOLE.print(f"  use: {shlex.join([*words, 'data.classes=classes.txt'])}", soft_wrap=True)
    return failures


def find_targets(lists: Iterable[Annotations], output: Path) -> dict[str, str]:
    """The path below ``output`` for the absolute path of every listed video.

    A video below the root of its list keeps its relative path; other videos get their absolute path below
    the folder ``outside``.
    """
    targets: dict[str, str] = {}
    for annotations in lists:
        root = Path(os.path.abspath(annotations.root))  # noqa: PTH100 - links stay as they are
        if output.resolve().is_relative_to(root.resolve()):
            raise ValueError(
                f"output is '{output}', inside the folder of videos '{root}', so the copies would count as "
                "further videos; choose a folder outside it"
            )
        for video in range(len(annotations)):
            source = Path(_absolute(annotations, video))
            inside = source.is_relative_to(root)
            target = source.relative_to(root if inside else source.anchor).with_suffix(".mp4")
            path = (target if inside else "outside" / target).as_posix()
            targets.setdefault(str(source), path)
    sources: dict[str, str] = {}
    for source, target in targets.items():
        if target in sources:
            raise ValueError(
                f"'{sources[target]}' and '{source}' would both become '{target}'; rename one of "
                "them, or list only one"
            )
        sources[target] = source
        if os.path.abspath(output / target) in targets:  # noqa: PTH100
            raise ValueError(
                f"the copy of '{source}' would overwrite the video '{output / target}'; choose another "
                "output"
            )
    return targets


def _absolute(annotations: Annotations, video: int) -> str:
    return os.path.abspath(annotations.path(video))  # noqa: PTH100 - links stay as they are


def _renew(settings: dict[str, Any], source: Path, target: Path) -> Reencoding | None:
    """None if the target is there and newer than the source."""
    if target.exists() and source.exists() and target.stat().st_mtime > source.stat().st_mtime:
        return None
    return reencode_video(source, target, **settings)


def _show(made: list[Reencoding], num_videos: int, failures: dict[str, str]) -> None:
    before, after = sum(r.bytes_before for r in made), sum(r.bytes_after for r in made)
    there = num_videos - len(made) - len(failures)
    damaged = sum(r.num_damaged > 0 for r in made)
    _CONSOLE.print(
        f"  {len(made)} made ({decimal(before)} -> {decimal(after)}), {there} already there, "
        f"{len(failures)} failed, {damaged} made without their broken packets",
        soft_wrap=True,
    )
    lines = [f"{path}: {reason}" for path, reason in sorted(failures.items())]
    show_first(lines, "see failed.csv")
