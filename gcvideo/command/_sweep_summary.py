"""What came out of the jobs of a sweep, in one table."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from gcvideo._console import Console
from gcvideo.command._record import write_json
from gcvideo.data.listing._list_file import write_table

_CONSOLE = Console()
_OUTCOME = Path(".hydra") / "outcome.json"
_KILLED = "it was killed, or has not ended"


class SweepJob(NamedTuple):
    """A job of a sweep: its folder, the values of its keys, its result, and what is wrong if it failed."""

    folder: Path
    given: dict[str, str]
    value: float | None = None
    error: str | None = None


class SweepSummary(Callback):
    """Prints and writes ``sweep.csv`` when a sweep is over, whatever launcher ran its jobs.

    Args:
        objective: name of the number that is the result of a job, such as "test/top1".

    Raises:
        SystemExit: with status 1, if a job has failed or was killed.
    """

    def __init__(self, objective: str) -> None:
        self.objective = objective

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        jobs = read_jobs(folder)
        keys = dict.fromkeys(key for job in jobs for key in job.given)
        varying = [key for key in keys if len({job.given.get(key) for job in jobs}) > 1]
        rows = []
        for job in jobs:
            shown = "failed" if job.error is not None else _shown(job.value)
            rows.append((job.folder.name, *(job.given.get(key, "") for key in varying), shown))
        write_table(folder / "sweep.csv", ("job", *varying, self.objective), rows)
        table = Table("job", *varying, self.objective)
        for row in rows:
            table.add_row(*row)
        _CONSOLE.print(table)
        _CONSOLE.print(f"runs in {folder}, the table in sweep.csv there", soft_wrap=True)
        for job in jobs:
            if job.error is not None:
                _CONSOLE.print(f"job {job.folder.name} failed: {job.error}", soft_wrap=True)
        if any(job.error is not None for job in jobs):
            raise SystemExit(1)


def is_sweep() -> bool:
    """Whether this process does a job of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def begin_outcome() -> None:
    """Forget what an earlier job has left in the folder of this job, and what a killed one would."""
    leave_outcome(error=_KILLED)


def leave_outcome(value: float | None = None, *, error: str | None = None) -> bool:
    """Keep what came out of this job of a sweep in its folder; False if it is none."""
    if not is_sweep():
        return False
    path = Path(HydraConfig.get().runtime.output_dir) / _OUTCOME
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"value": value, "error": error})
    return True


def read_jobs(folder: Path) -> list[SweepJob]:
    """The jobs of a sweep in their order, from its folders "0", "1", ..."""
    runs = [path for path in folder.iterdir() if (path / ".hydra" / "overrides.yaml").is_file()]
    runs.sort(key=lambda path: (len(path.name), path.name))
    jobs = []
    for run in runs:
        loaded = OmegaConf.load(run / ".hydra" / "overrides.yaml")
        words: Any = OmegaConf.to_container(loaded, resolve=False)
        given = {key: value for key, _, value in (str(word).partition("=") for word in words)}
        outcome = run / _OUTCOME
        found: dict[str, Any] = {"error": _KILLED}
        if outcome.is_file():
            found = json.loads(outcome.read_text("utf-8"))
        jobs.append(SweepJob(run, given, **found))
    return jobs


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4f}"
