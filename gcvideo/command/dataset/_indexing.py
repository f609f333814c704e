"""``gcvideo index``: makes the frame index of a data set."""

import time
from pathlib import Path

from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo._invocation import command_line
from gcvideo.command._output_check import check_file
from gcvideo.command.dataset._work import configured_splits, listed_files, show_first, work_through
from gcvideo.data import FrameIndex, IndexEntry, index_path, index_video, write_index

_CONSOLE = Console()
_SECONDS_BETWEEN_WRITES = 60.0
_REMEDY = "give output=FILE here and data.index=FILE later, or set GCVIDEO_CACHE=/a/folder for all commands"


def index(cfg: DictConfig) -> Path:
    """Make or refresh the frame index of a data set, as configured by ``conf/index.yaml``.

    Videos that have not changed are not opened again. Results are saved every minute, and when the command
    is interrupted. Before any video is opened, ValueError if the index file (which is returned) cannot be
    written.
    """
    splits, lists = configured_splits(cfg)
    path = Path(cfg.output) if cfg.output else index_path(splits.train.root)
    check_file(path, "output", remedy=_REMEDY)
    old = _readable_index(path)
    files = listed_files(lists)
    due = {
        video: (video, file)
        for video, file in files.items()
        if old is None or not old.is_current(video, file)
    }
    _CONSOLE.print(f"{len(files)} videos, {len(files) - len(due)} of them already known")
    unreadable: list[str] = []
    entries: list[IndexEntry] = []
    written = time.monotonic()
    try:
        for video, result in (
            work_through(index_video, due, "Indexing", cfg, cfg.time_budget_seconds) if due else ()
        ):
            entry = (
                result
                if isinstance(result, IndexEntry)
                else IndexEntry(video, -1, -1, None, result.reason, result.remedy)
            )
            entries.append(entry)
            if entry.timeline is None:
                unreadable.append(f"{video}: {entry.reason}")
            if time.monotonic() > written + _SECONDS_BETWEEN_WRITES:
                write_index(path, entries, old)
                old, entries, written = FrameIndex(path), [], time.monotonic()
    finally:
        if entries:
            write_index(path, entries, old)
    num_indexed = len(FrameIndex(path)) if path.is_file() else 0
    _CONSOLE.print(f"{num_indexed} videos in {path}", soft_wrap=True)
    if unreadable:
        remedy = f"`{command_line('check')}` makes lists without them"
        _CONSOLE.print(f"{len(unreadable)} cannot be read; {remedy}:")
        show_first(unreadable, f"which `{command_line('check')}` lists")
    return path


def _readable_index(path: Path) -> FrameIndex | None:
    try:
        return FrameIndex(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        _CONSOLE.print(f"{error}; a new one is made", soft_wrap=True)
        return None
