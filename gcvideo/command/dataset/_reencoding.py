"""``gcvideo reencode``: makes small copies of the videos of a data set."""

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.filesize import decimal

from gcvideo._console import Console
from gcvideo._draft import no_drafts
from gcvideo._hint import override
from gcvideo.command._shard import find_shard, present_parts
from gcvideo.command.dataset._journal import Findings, Journal
from gcvideo.command.dataset._part import delete_parts, of_part, part_file, say_joined, say_part
from gcvideo.command.dataset._sole_work import sole_work
from gcvideo.command.dataset._work import (
    claim_folder,
    configured_splits,
    show_first,
    work_through,
    write_lists,
)
from gcvideo.data import Annotations, Reencoding, check_listable, reencode_video, write_table
from gcvideo.data._parallel import tell_progress
from gcvideo.data.video._frame_index import FileStamp

_CONSOLE = Console()
_SETTINGS = ("short_side", "gop_size", "crf", "preset")
_JOURNAL = "reencoding.jsonl"  # only parts have one


@dataclass(frozen=True)
class ReencodingReport:
    """The reason for each video that failed, by path; of a part, if it is one."""

    failures: Mapping[str, str]
    is_part: bool = False

    @property
    def has_failed(self) -> bool:
        """Whether the command fails; a part does not, or torchrun would end the other parts."""
        return bool(self.failures) and not self.is_part


@dataclass(frozen=True)
class CopyFinding:
    """Why a video could not be copied; empty if it was."""

    reason: str = ""


def reencode(cfg: DictConfig) -> ReencodingReport:
    """Re-encode every video of the splits, as configured by ``conf/reencode.yaml``.

    ``output`` gets each video once, under its relative path with the suffix ``.mp4``; the lists
    ``train.txt``, ``val.txt`` and ``test.txt`` (if it differs from val) of "path label"; and
    ``classes.txt``. Videos that failed are listed in ``failed.csv`` instead. A target newer than its
    source is kept, so an interrupted run continues where it stopped.

    With ``shard``, only the copies of that part of the videos are made, and noted in a journal. Without it,
    the lists are those of all parts, whose journals are deleted.

    Raises:
        ValueError: if ``output`` is inside the folder of videos or contains videos made with other
            settings, if two videos would get the same target, another process works on the same part or on
            everything, or there is another number of parts.
    """
    shard = find_shard(cfg.shard)
    splits, lists = configured_splits(cfg)
    output = Path(cfg.output)
    targets = find_targets(lists.values(), output)
    check_listable(targets.values(), splits.classes)
    settings = {name: cfg[name] for name in _SETTINGS}
    claim_folder(output, "output", "reencoding.json", settings)

    if shard is not None:
        targets = of_part(targets, shard)
    with (
        sole_work(output, "output", shard),
        no_drafts(output / target for target in targets.values()),
    ):
        if shard is not None:
            with Journal(part_file(output / _JOURNAL, shard), CopyFinding) as journal:
                made, failures = _copy_all(targets, output, cfg, journal)
            _show(made, len(targets), failures, "the joined command writes failed.csv")
            say_part(shard, len(targets), failures)
            return ReencodingReport(failures, is_part=True)
        parts = list(present_parts(output / _JOURNAL).values())
        taken = _taken(parts, targets, output)
        due = {source: target for source, target in targets.items() if source not in taken}
        say_joined(len(parts), len(taken), len(due))
        made, failures = _copy_all(due, output, cfg)
        failures |= {source: found.reason for source, found in taken.items() if found.reason}
        _write_lists(output, lists, splits.classes, targets, failures)
        delete_parts(parts)
    _show(made, len(targets), failures, "see failed.csv")
    words = ["data=folder", override("data.root", output)]
    words += [f"data.{name}={name}.txt" for name in lists]
    _CONSOLE.print(f"  use: {shlex.join([*words, 'data.classes=classes.txt'])}", soft_wrap=True)
    return ReencodingReport(failures)


def _copy_all(
    targets: Mapping[str, str],
    output: Path,
    cfg: DictConfig,
    journal: Journal[CopyFinding] | None = None,
) -> tuple[list[Reencoding], dict[str, str]]:
    """The copies that were made, and why others failed; those that are there already are neither."""
    made: list[Reencoding] = []
    failures: dict[str, str] = {}
    jobs = {source: (Path(source), output / target) for source, target in targets.items()}
    stamps = {source: FileStamp.of(source) for source in targets} if journal is not None else {}
    work = partial(_renew, {name: cfg[name] for name in _SETTINGS})
    for source, result in work_through(work, jobs, "Re-encoding", cfg):
        if isinstance(result, Reencoding):
            made.append(result)
        elif result is not None:
            failures[source] = str(result)
        finding = CopyFinding(failures.get(source, ""))
        # A copy may be there without a note: the worker of a killed process finishes what it has begun.
        if journal is not None and journal.recall(source, stamps[source]) != finding:
            journal.add(source, stamps[source], finding)
    return made, failures


def _taken(
    parts: Iterable[Path], targets: Mapping[str, str], output: Path
) -> dict[str, CopyFinding]:
    """What parts have found, by source, as far as it still holds."""
    found: dict[str, CopyFinding] = {}
    stamps = {source: FileStamp.of(source) for source in targets}
    for part in parts:
        found |= Findings(part, CopyFinding).current(stamps)
    return {
        source: finding
        for source, finding in found.items()
        if bool(finding.reason) != _is_copied(Path(source), output / targets[source])
    }


def _write_lists(
    output: Path,
    lists: Mapping[str, Annotations],
    classes: Sequence[str],
    targets: Mapping[str, str],
    failures: Mapping[str, str],
) -> None:
    written = {}
    for name, annotations in lists.items():
        sources = [_absolute(annotations, video) for video in range(len(annotations))]
        kept = [video for video, source in enumerate(sources) if source not in failures]
        written[name] = ([targets[sources[video]] for video in kept], annotations.labels[kept])
    write_lists(output, written, classes)
    (output / "failed.csv").unlink(missing_ok=True)
    if failures:
        write_table(output / "failed.csv", ("path", "reason"), sorted(failures.items()))


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


def _is_copied(source: Path, target: Path) -> bool:
    return target.exists() and source.exists() and target.stat().st_mtime > source.stat().st_mtime


def _renew(
    settings: dict[str, Any], source: Path, target: Path, *, time_budget_seconds: float | None
) -> Reencoding | None:
    """None if the target is there and newer than the source."""
    if _is_copied(source, target):
        return None
    limit = {"time_budget_seconds": time_budget_seconds, "progress": tell_progress}
    return reencode_video(source, target, **settings, **limit)


def _show(made: list[Reencoding], num_videos: int, failures: Mapping[str, str], rest: str) -> None:
    before, after = sum(r.bytes_before for r in made), sum(r.bytes_after for r in made)
    there = num_videos - len(made) - len(failures)
    damaged = sum(r.num_damaged > 0 for r in made)
    _CONSOLE.print(
        f"  {len(made)} made ({decimal(before)} -> {decimal(after)}), {there} already there, "
        f"{len(failures)} failed, {damaged} made without their broken packets",
        soft_wrap=True,
    )
    lines = [f"{path}: {reason}" for path, reason in sorted(failures.items())]
    show_first(lines, rest)
