"""What the commands on data sets share: the videos, the work on each of them, and the output folder."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

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
    run_within,
    write_list,
    write_text,
)

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
    if file.exists() and (before := json.loads(file.read_text(encoding="utf-8"))) != content:
        raise ValueError(
            f"'{folder}' contains results for {before}, not {content}; choose another {key}, delete the "
            f"folder, or delete '{file}' if the videos have only been moved"
        )
    make_folder(folder, key)
    write_json(file, content)


def work_through(
    function: Callable[..., R],
    jobs: Mapping[str, tuple[Any, ...]],
    description: str,
    cfg: DictConfig,
    time_budget_seconds: float | None = None,
) -> Iterator[tuple[str, R | VideoReadError]]:
    """Path and result of each job (arguments by path), or the error if its video failed."""
    paths = list(jobs)
    attempt = partial(_attempt, function, time_budget_seconds)
    for item, result in parallel_map(
        attempt, list(jobs.items()), description=description, num_workers=cfg.num_workers
    ):
        if isinstance(result, ProcessDiedError):
            result = VideoReadError(paths[item], f"the decoder crashes on it: {result}")
        yield paths[item], result


def _attempt(
    function: Callable[..., R], seconds: float | None, job: tuple[str, tuple[Any, ...]]
) -> R | VideoReadError:
    path, arguments = job
    try:
        return run_within(seconds, path, partial(function, *arguments))
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
