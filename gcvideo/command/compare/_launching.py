"""Cells handed to a launcher of Hydra, with a word on each that is done."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo._hint import override
from gcvideo.command._duration import duration
from gcvideo.command.compare._cell import is_finished, read_cell

_EXTRAS = {"joblib": "joblib", "submitit": "slurm"}
_POLL_SECONDS = 0.5


class LaunchError(ValueError):
    """A launcher that is not installed, or settings that it does not have."""


class Job(NamedTuple):
    """A cell to be run.

    Args:
        name: for people, such as "gc, seed 1".
        folder: of the cell, below that of all cells.
        overrides: words for ``conf/train.yaml``.
    """

    name: str
    folder: Path
    overrides: Sequence[str]


def launch(
    jobs: Sequence[Job],
    folder: Path,
    *,
    launcher: str,
    settings: Sequence[str],
    task: Callable[[DictConfig], Any],
) -> Mapping[str, BaseException]:
    """Run jobs; Hydra must be initialised with the folder of ``train.yaml``.

    Args:
        jobs: to run, in order.
        folder: that the folders of the jobs lie in.
        launcher: a choice of ``hydra/launcher``.
        settings: words such as "hydra.launcher.n_jobs=2".
        task: gets the configuration of a job.

    Returns:
        What went wrong, by name of the job; the others are done.

    Raises:
        LaunchError: if the launcher is not installed or lacks a setting.
    """
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    config = _launcher_config(launcher, folder, settings)
    context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks())
    plugin = Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=task, config=config
    )
    overrides = [
        [*job.overrides, override("hydra.sweep.subdir", job.folder.relative_to(folder))]
        for job in jobs
    ]
    with _told(jobs):
        returned = plugin.launch(overrides, initial_job_idx=0)
    return {
        job.name: done._return_value
        for job, done in zip(jobs, returned, strict=True)
        if isinstance(done._return_value, BaseException)
    }


def launcher_settings(launcher: str, folder: Path, settings: Sequence[str]) -> DictConfig:
    """What ``hydra.launcher`` is, such as its number of jobs; arguments as for :func:`launch`.

    Raises:
        LaunchError: if the launcher is not installed or lacks a setting.
    """
    return _launcher_config(launcher, folder, settings).hydra.launcher


def _launcher_config(launcher: str, folder: Path, settings: Sequence[str]) -> DictConfig:
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    words = [
        f"hydra/launcher={launcher}",
        override("hydra.sweep.dir", folder),
        "hydra.output_subdir=null",
        "hydra/hydra_logging=none",
        "hydra/job_logging=none",
        *settings,
    ]
    try:
        return hydra.compose_config("train", words, RunMode.MULTIRUN, with_log_configuration=False)
    except HydraException as error:
        extra = _EXTRAS.get(launcher.partition("_")[0])
        if extra is not None and "hydra/launcher" in str(error):
            raise LaunchError(
                f"the launcher '{launcher}' is not installed; run pip install \"gcvideo[{extra}]\""
            ) from error
        raise LaunchError(
            f"not all of {' '.join(settings)} fits the launcher '{launcher}' "
            f"({str(error).splitlines()[0]}); leave it out or choose another launcher"
        ) from error


@contextmanager
def _told(jobs: Sequence[Job]) -> Iterator[None]:
    """Watches the folders, which shows the progress of any launcher."""
    console = Console(file=sys.stdout)  # cells in this process redirect theirs
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(jobs, console, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _watch(jobs: Sequence[Job], console: Console, done: threading.Event) -> None:
    started, open_jobs, num_done = time.perf_counter(), list(jobs), 0
    while open_jobs:
        is_over = done.wait(_POLL_SECONDS)
        for job in list(open_jobs):
            if is_finished(job.folder):
                result = read_cell(job.folder).content
                text = f"top-1 {result['top1']:.3f} in {result['seconds']:.0f} s"
            elif (job.folder / "failure.txt").is_file():
                text = "failed: " + (job.folder / "failure.txt").read_text("utf-8").splitlines()[0]
            else:
                continue
            open_jobs.remove(job)
            num_done += 1
            left = (time.perf_counter() - started) / num_done * len(open_jobs)
            remaining = f", about {duration(left)} to go" if open_jobs else ""
            console.print(f"[{num_done}/{len(jobs)}] {job.name}: {text}{remaining}", soft_wrap=True)
        if is_over:
            return
