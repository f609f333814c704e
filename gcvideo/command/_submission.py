"""Jobs of submitit: they end with the command, and one that is killed stops no other."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from gcvideo._console import Console
from gcvideo.command.configuration._composition import key_of


class JobLostError(ValueError):
    """A job that has ended without a result."""


@contextmanager
def submitted_jobs() -> Iterator[list[JobLostError]]:
    """Within, Hydra's launchers of submitit cancel their jobs if the command is interrupted.

    They would leave the jobs in the queue, where those that the command submits next time meet them in
    the same folders. A job that is killed raises in them, and the others are not waited for: here its result
    is a :class:`JobLostError`, which the list given is told of, too.
    """
    from submitit import AutoExecutor  # noqa: PLC0415  # pyright: ignore[reportMissingImports] (optional)

    map_array, submitted, lost = AutoExecutor.map_array, [], []

    def submit(executor: Any, *arguments: Any) -> Sequence["_Answer"]:
        jobs = list(map_array(executor, *arguments))
        submitted.extend(jobs)
        return [_Answer(job, lost) for job in jobs]

    AutoExecutor.map_array = submit
    try:
        yield lost
    except KeyboardInterrupt:
        for job in submitted:
            if not job.done():
                job.cancel(check=False)
        raise
    finally:
        AutoExecutor.map_array = map_array


@contextmanager
def submitted_sweep(overrides: Sequence[str], *, is_sweep: bool) -> Iterator[None]:
    """Within, a sweep by a launcher of submitit names the jobs that were killed, and ends with status 1.

    An interrupted one cancels its jobs, and ends with status 130.
    """
    launchers = [word for word in overrides if key_of(word) == "hydra/launcher"]
    if not is_sweep or not launchers or "submitit" not in launchers[-1]:
        yield
        return
    console = Console(stderr=True)
    try:
        with submitted_jobs() as lost:
            try:
                yield
            finally:
                for error in lost:
                    console.print(f"error: {error}", soft_wrap=True)
    except KeyboardInterrupt:
        console.print("interrupted; the jobs that were not done are cancelled")
        raise SystemExit(130) from None
    if lost:
        raise SystemExit(1)


class _Answer:
    """What Hydra's launcher asks of a job."""

    def __init__(self, job: Any, lost: list[JobLostError]) -> None:
        self._job, self._lost = job, lost

    def results(self) -> Sequence[JobReturn]:
        try:
            return self._job.results()
        except Exception as error:
            found = JobLostError(
                f"job {self._job.job_id} left no result, its state is {self._job.state} ({_last_line(error)}); "
                f"see {self._job.paths.stderr}"
            )
            self._lost.append(found)
            # Of one that has failed, a sweep would raise the error before the others are summed up.
            return [JobReturn(status=JobStatus.COMPLETED, _return_value=found)]


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][:200] if str(error).strip() else repr(error)
