"""``gcvideo index``: makes the frame index of a data set."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo._invocation import command_line
from gcvideo.command._output_check import check_file
from gcvideo.command._shard import Shard, find_shard, present_parts
from gcvideo.command.dataset._part import delete_parts, of_part, part_file, say_joined, say_part
from gcvideo.command.dataset._sole_work import sole_work
from gcvideo.command.dataset._work import configured_splits, listed_files, show_first, work_through
from gcvideo.data import (
    FrameIndex,
    IndexEntry,
    index_path,
    index_video,
    run_within,
    write_index,
)

_CONSOLE = Console()
_SECONDS_BETWEEN_WRITES = 60.0
_REMEDY = "give output=FILE here and data.index=FILE later, or set GCVIDEO_CACHE=/a/folder for all commands"


def index(cfg: DictConfig) -> Path:
    """Make or refresh the frame index of a data set, as configured by ``conf/index.yaml``.

    Videos that have not changed are not opened again. Results are saved every minute, and when the command
    is interrupted. With ``shard``, the index of that part of the videos is made, in a file of its own.
    Without it, all parts are joined, and their files deleted.

    Returns:
        The index file, of the part if it is one.

    Raises:
        ValueError: before any video is opened, if the index file cannot be written, another process works
            on the same part or on everything, or there is another number of parts.
    """
    shard = find_shard(cfg.shard)
    splits, lists = configured_splits(cfg)
    path = Path(cfg.output) if cfg.output else index_path(splits.train.root)
    check_file(path, "output", remedy=_REMEDY)
    files = listed_files(lists)
    with sole_work(path, "output", shard):
        whole = _readable_index(path)
        if shard is not None:
            return _index_part(path, of_part(files, shard), shard, whole, cfg)
        parts = [*present_parts(path).values()]
        read = [part for part in map(_readable_index, parts) if part is not None]
        taken, due = _sort_out(files, read, whole)
        num_known = len(files) - len(due) - len(taken)
        _CONSOLE.print(f"{len(files)} videos, {num_known} of them already known")
        say_joined(len(parts), len(taken), len(due))
        older = [*read, *filter(None, [whole])]
        failures = _index_all(path, older, due, cfg, is_due=bool(read))
        failures |= {video: problem for video, problem in taken.items() if problem}
        delete_parts(parts)
    num_indexed = len(FrameIndex(path)) if path.is_file() else 0
    _CONSOLE.print(f"{num_indexed} videos in {path}", soft_wrap=True)
    _show(failures)
    return path


def _index_part(
    path: Path, files: Mapping[str, str], shard: Shard, whole: FrameIndex | None, cfg: DictConfig
) -> Path:
    part = part_file(path, shard)
    mine = _readable_index(part)
    due = {
        video: file
        for video, file in files.items()
        if not any(index.is_current(video, file) for index in (whole, mine) if index is not None)
    }
    _CONSOLE.print(f"{len(files)} videos, {len(files) - len(due)} of them already known")
    failures = _index_all(part, [] if mine is None else [mine], due, cfg)
    _show(failures)
    say_part(shard, len(files), failures)
    return part


def _sort_out(
    files: Mapping[str, str], parts: Sequence[FrameIndex], whole: FrameIndex | None
) -> tuple[dict[str, str], dict[str, str]]:
    """What parts say of unchanged videos, that is why they cannot be read or nothing; and files to open."""
    holders: dict[str, FrameIndex] = {}
    for part in reversed(parts):  # of several entries, the first counts when they are written
        holders |= dict.fromkeys(part.paths(), part)
    taken, due = {}, {}
    for video, file in files.items():
        problem = holders[video].problem(video, file) if video in holders else None
        if problem is not None:
            taken[video] = problem
        elif video in holders or whole is None or not whole.is_current(video, file):
            due[video] = file
    return taken, due


def _index_all(
    path: Path,
    older: Sequence[FrameIndex],
    due: Mapping[str, str],
    cfg: DictConfig,
    *,
    is_due: bool = False,
) -> dict[str, str]:
    """Add videos to the index; returns why some cannot be read. With ``is_due``, it is written in any case."""
    failures: dict[str, str] = {}
    entries: list[IndexEntry] = []
    written = time.monotonic()
    jobs = {video: (video, file) for video, file in due.items()}
    try:
        for video, result in work_through(_index, jobs, "Indexing", cfg) if jobs else ():
            entry = (
                result
                if isinstance(result, IndexEntry)
                else IndexEntry(video, -1, -1, None, result.reason, result.remedy)
            )
            entries.append(entry)
            if entry.timeline is None:
                failures[video] = entry.reason
            if time.monotonic() > written + _SECONDS_BETWEEN_WRITES:
                write_index(path, entries, *older)
                older, entries, is_due = [FrameIndex(path)], [], False
                written = time.monotonic()
    finally:
        if entries or is_due:
            write_index(path, entries, *older)
    return failures


def _index(video: str, file: str, *, time_budget_seconds: float | None) -> IndexEntry:
    return run_within(time_budget_seconds, video, partial(index_video, video, file))


def _show(failures: Mapping[str, str]) -> None:
    if failures:
        remedy = f"`{command_line('check')}` makes lists without them"
        _CONSOLE.print(f"{len(failures)} cannot be read; {remedy}:")
        lines = [f"{video}: {reason}" for video, reason in failures.items()]
        show_first(lines, f"which `{command_line('check')}` lists")


def _readable_index(path: Path) -> FrameIndex | None:
    try:
        return FrameIndex(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        _CONSOLE.print(f"{error}; a new one is made", soft_wrap=True)
        return None
