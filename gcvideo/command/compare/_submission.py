"""Cells as jobs of submitit: they end with the command, and one that is killed stops no other."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.utils import JobReturn, JobStatus


class CellLostError(ValueError):
    """A job that has ended without a word of its cell."""


@contextmanager
def submitted_jobs() -> Iterator[None]:
    """Within, Hydra's launchers of submitit cancel their jobs if the command is interrupted.

    They would leave the jobs in the queue, where those that the command submits next time meet them in
    the same folders. A job that is killed raises in them, and the cells of the others are not waited for:
    here it returns a :class:`CellLostError`.
    """
    from submitit import AutoExecutor  # noqa: PLC0415  # pyright: ignore[reportMissingImports] (optional)

    map_array, submitted = AutoExecutor.map_array, []

    def submit(executor: Any, *arguments: Any) -> Sequence["_Answer"]:
        jobs = list(map_array(executor, *arguments))
        submitted.extend(jobs)
        return [_Answer(job) for job in jobs]

    AutoExecutor.map_array = submit
    try:
        yield
    except KeyboardInterrupt:
        for job in submitted:
            if not job.done():
                job.cancel(check=False)
        raise
    finally:
        AutoExecutor.map_array = map_array


class _Answer:
    """What Hydra's launcher asks of a job."""

    def __init__(self, job: Any) -> None:
        self._job = job

    def results(self) -> Sequence[JobReturn]:
        try:
            return self._job.results()
        except Exception as error:
            lost = CellLostError(
                f"job {self._job.job_id} left no result, its state is {self._job.state} ({_last_line(error)}); "
                f"see {self._job.paths.stderr}"
            )
            return [JobReturn(status=JobStatus.FAILED, _return_value=lost)]


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][:200] if str(error).strip() else repr(error)
