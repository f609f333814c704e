import time
from functools import partial
from pathlib import Path
from typing import cast

from hydra.utils import instantiate
from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo._invocation import command_line
from gcvideo.command._output_check import check_file
from gcvideo.data import (
    FrameIndex,
    IndexEntry,
    VideoReadError,
    VideoSplits,
    index_path,
    index_video,
    parallel_map,
    run_within,
    write_index,
)

_CONSOLE = Console()
_SECONDS_BETWEEN_WRITES = 60.0
_NUM_SHOWN = 10
_REMEDY = (
    "give output=FILE, which data.index names then, or set GCVIDEO_CACHE=/a/folder for all commands"
)


def index(cfg: DictConfig) -> Path:
    """Make or refresh the frame index of a data set, as configured by ``conf/index.yaml``.

    Videos that have not changed since the last time are not opened again. What is done is kept every
    minute and when the command is interrupted.

    Returns:
        The index file.

    Raises:
        ValueError: if it cannot be written, before any video is opened.
    """
    splits = cast(VideoSplits, instantiate(cfg.data, _convert_="all"))
    path = Path(cfg.output) if cfg.output else index_path(splits.train.root)
    check_file(path, "output", remedy=_REMEDY)
    old = _readable_index(path)
    listed = _listed(splits)
    due = [
        (video, file)
        for video, file in listed.items()
        if old is None or not old.is_current(video, file)
    ]
    _CONSOLE.print(f"{len(listed)} videos, {len(listed) - len(due)} of them known already")
    unreadable = _index_all(path, due, old, cfg.num_workers, cfg.time_budget_seconds) if due else []
    made = FrameIndex(path) if path.is_file() else None
    _CONSOLE.print(f"{len(made) if made else 0} videos in {path}", soft_wrap=True)
    if unreadable:
        remedy = f"`{command_line('check')}` makes lists without"
        _CONSOLE.print(f"{len(unreadable)} cannot be read; {remedy}:")
        for entry in unreadable[:_NUM_SHOWN]:
            _CONSOLE.print(f"  {entry.path}: {entry.reason}", soft_wrap=True)
    return path


def _listed(splits: VideoSplits) -> dict[str, str]:
    """File by listed path, each video once."""
    files: dict[str, str] = {}
    for split in (splits.train, splits.val, splits.test):
        for video in range(len(split)):
            files.setdefault(split.paths[video], split.path(video))
    return files


def _readable_index(path: Path) -> FrameIndex | None:
    try:
        return FrameIndex(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        _CONSOLE.print(f"{error}; it is made anew", soft_wrap=True)
        return None


def _index_all(
    path: Path,
    due: list[tuple[str, str]],
    old: FrameIndex | None,
    num_workers: int | None,
    seconds: float | None,
) -> list[IndexEntry]:
    entries: list[IndexEntry] = []
    unreadable: list[IndexEntry] = []
    written = time.monotonic()
    work = partial(_index_within, seconds)
    try:
        for item, result in parallel_map(
            work, due, description="Indexing", num_workers=num_workers
        ):
            if isinstance(result, IndexEntry):
                entry = result
            else:
                entry = IndexEntry(due[item][0], -1, -1, None, "the decoder crashes on it")
            entries.append(entry)
            if entry.timeline is None:
                unreadable.append(entry)
            if time.monotonic() > written + _SECONDS_BETWEEN_WRITES:
                write_index(path, entries, old)
                old, entries, written = FrameIndex(path), [], time.monotonic()
    finally:
        if entries:
            write_index(path, entries, old)
    return unreadable


def _index_within(seconds: float | None, video: tuple[str, str]) -> IndexEntry:
    path, file = video
    try:
        return run_within(seconds, file, partial(index_video, path, file))
    except VideoReadError as error:
        return IndexEntry(path, -1, -1, None, error.reason, error.remedy)
