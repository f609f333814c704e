"""What the commands on data sets share: the videos, the work on each of them, and the output folder."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import uuid4

import numpy as np
from hydra.utils import instantiate
from jaxtyping import Int64
from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo.command._output_check import make_folder
from gcvideo.command._record import write_json
from gcvideo.data import (
    Annotations,
    ProcessDiedError,
    VideoReadError,
    VideoSplits,
    parallel_map,
    write_list,
    write_text,
)
from gcvideo.data._parallel import default_num_workers
from gcvideo.data._process_error import ProcessStuckError
from gcvideo.data.video._deadline import death_as_read_error

R = TypeVar("R")

_CONSOLE = Console()
_NUM_SHOWN = 10


def configured_splits(cfg: DictConfig) -> tuple[VideoSplits, dict[str, Annotations]]:
    """The data set and the splits that were given; one list may serve as both val and test."""
    splits = cast(VideoSplits, instantiate(cfg.data, _convert_="all"))
    lists = {"train": splits.train, "val": splits.val, "test": splits.test}
    val, test = ([split.path(i) for i in range(len(split))] for split in (splits.val, splits.test))
    if val == test and np.array_equal(splits.val.labels, splits.test.labels):
        del lists["test" if len(splits.train) else "val"]
    return splits, {name: split for name, split in lists.items() if len(split)}


def listed_files(lists: Mapping[str, Annotations]) -> dict[str, str]:
    """File by listed path, each video once."""
    return {split.paths[i]: split.path(i) for split in lists.values() for i in range(len(split))}


def claim_folder(folder: Path, key: str, note: str, content: dict[str, Any]) -> None:
    """Make the folder of ``key`` for results from ``content`` alone, which is noted in it."""
    file = folder / note
    make_folder(folder, key)
    if not file.exists():
        _write_first(file, content)
    before = json.loads(file.read_text(encoding="utf-8"))
    if before != content:
        raise ValueError(
            f"'{folder}' contains results for {before}, not {content}; choose another {key}, delete the "
            f"folder, or delete '{file}' if the videos have only been moved"
        )


def _write_first(file: Path, content: dict[str, Any]) -> None:
    """Write a file, unless another process does so at the same moment: parts start together."""
    draft = file.with_name(f".{uuid4().hex}{file.suffix}")
    try:
        write_json(draft, content)
        try:
            os.link(draft, file)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def work_through(
    function: Callable[..., R],
    jobs: Mapping[str, tuple[Any, ...]],
    description: str,
    cfg: DictConfig,
) -> Iterator[tuple[str, R | VideoReadError]]:
    """Path and result of each job (arguments by path), or the error if its video failed.

    A process that takes longer than ``cfg.time_budget_seconds`` for a result or a sign of progress is
    killed. Without further processes, the limit is up to ``function``, which gets it as an argument.
    """
    paths = list(jobs)
    num_workers = default_num_workers() if cfg.num_workers is None else cfg.num_workers
    inner_seconds = None if num_workers else cfg.time_budget_seconds
    for item, result in parallel_map(
        partial(_attempt, partial(function, time_budget_seconds=inner_seconds)),
        list(jobs.values()),
        description=description,
        num_workers=num_workers,
        seconds=cfg.time_budget_seconds,
    ):
        if isinstance(result, ProcessStuckError):
            result = death_as_read_error(result, paths[item])
        elif isinstance(result, ProcessDiedError):
            result = VideoReadError(paths[item], f"the decoder crashes on it: {result}")
        yield paths[item], result


def _attempt(function: Callable[..., R], arguments: tuple[Any, ...]) -> R | VideoReadError:
    try:
        return function(*arguments)
    except VideoReadError as error:
        return error


def write_lists(
    folder: Path,
    lists: Mapping[str, tuple[Sequence[str], Int64[np.ndarray, " n"]]],
    classes: Sequence[str],
) -> None:
    """Write ``NAME.txt`` with the paths and labels of each list, and ``classes.txt``."""
    for name, (paths, labels) in lists.items():
        write_list(folder / f"{name}.txt", paths, labels, classes)
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in classes))


def show_first(lines: Sequence[str], rest: str) -> None:
    """Print the first lines, indented, and where to find the rest."""
    for line in lines[:_NUM_SHOWN]:
        _CONSOLE.print(f"  {line}", soft_wrap=True)
    if len(lines) > _NUM_SHOWN:
        _CONSOLE.print(f"  and {len(lines) - _NUM_SHOWN} more, {rest}")
