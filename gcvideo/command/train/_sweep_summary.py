"""What came out of the jobs of a sweep, in one table."""

import json
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from gcvideo._console import Console
from gcvideo.data.listing._list_file import write_table

_CONSOLE = Console()


class SweepJob(NamedTuple):
    """A job of a sweep: its run folder, the values of its keys, its result unless it failed."""

    folder: Path
    given: dict[str, str]
    objective: float | None


class SweepSummary(Callback):
    """Prints and writes ``sweep.csv`` when a sweep is over, whatever launcher ran its jobs.

    Args:
        objective: keys that lead to the number in ``results.json`` of a job, such as ["metrics", "test/top1"].

    Raises:
        SystemExit: with status 1, if a job left no results.
    """

    def __init__(self, objective: Sequence[str]) -> None:
        self.objective = tuple(objective)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        jobs = read_jobs(folder, self.objective)
        keys = dict.fromkeys(key for job in jobs for key in job.given)
        varying = [key for key in keys if len({job.given.get(key) for job in jobs}) > 1]
        name = self.objective[-1]
        rows = []
        for job in jobs:
            shown = "failed" if job.objective is None else f"{job.objective:.4f}"
            rows.append((job.folder.name, *(job.given.get(key, "") for key in varying), shown))
        write_table(folder / "sweep.csv", ("job", *varying, name), rows)
        table = Table("job", *varying, name)
        for row in rows:
            table.add_row(*row)
        _CONSOLE.print(table)
        _CONSOLE.print(f"runs in {folder}, the table in sweep.csv there", soft_wrap=True)
        if any(job.objective is None for job in jobs):
            raise SystemExit(1)


def read_jobs(folder: Path, objective: Sequence[str]) -> list[SweepJob]:
    """The jobs of a sweep in their order, from its run folders "0", "1", ..."""
    runs = [path for path in folder.iterdir() if (path / ".hydra" / "overrides.yaml").is_file()]
    runs.sort(key=lambda path: (len(path.name), path.name))
    jobs = []
    for run in runs:
        words = OmegaConf.load(run / ".hydra" / "overrides.yaml")
        result: Any = None
        if (run / "results.json").is_file():
            content = json.loads((run / "results.json").read_text("utf-8"))
            result = reduce(lambda found, name: found.get(name), objective, content)
        given = {key: value for key, _, value in (str(word).partition("=") for word in words)}
        jobs.append(SweepJob(run, given, result))
    return jobs
