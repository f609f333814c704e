"""Jobs of submitit, with a stand-in for it: the launcher of Hydra that uses it is an optional package."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from hydra.core.utils import JobReturn, JobStatus

from gcvideo.command._submission import JobLostError, submitted_jobs, submitted_sweep
from gcvideo.command._user_error import user_error

LOST = (
    "job 7_0 left no result, its state is NODE_FAIL (slurmstepd: error: oom-kill); see 7_0_log.err"
)
SWEEP = ["hydra/launcher=joblib", "hydra/launcher=submitit_slurm"]


class _Job:
    def __init__(self, job_id, outcome, *, is_done):
        self.job_id, self.outcome, self.is_done, self.cancelled = job_id, outcome, is_done, False
        self.state = "NODE_FAIL"
        self.paths = SimpleNamespace(stderr=Path(f"{job_id}_log.err"))

    def results(self):
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return [self.outcome]

    def done(self):
        return self.is_done

    def cancel(self, check=True):
        self.cancelled = True


class _Executor:
    jobs = ()

    def map_array(self, function, *arguments):
        return list(self.jobs)


@pytest.fixture
def executor(monkeypatch):
    module = ModuleType("submitit")
    module.AutoExecutor = type("AutoExecutor", (_Executor,), {"map_array": _Executor.map_array})
    monkeypatch.setitem(sys.modules, "submitit", module)
    return module.AutoExecutor


def launched(executor):
    """As ``hydra_submitit_launcher`` 1.2.0 does."""
    return [job.results()[0] for job in executor().map_array(print, [1, 2])]


def test_a_job_that_is_killed_does_not_hide_the_results_of_the_others(executor):
    done = JobReturn(status=JobStatus.COMPLETED)
    lost = RuntimeError("Job 7_0 has not produced any output\n---\nslurmstepd: error: oom-kill\n")
    executor.jobs = [_Job("7_0", lost, is_done=True), _Job("7_1", done, is_done=True)]
    with submitted_jobs() as known:
        returned = launched(executor)
    assert returned[1] is done
    assert known == [returned[0].return_value]
    assert isinstance(known[0], JobLostError)
    assert str(known[0]) == LOST


def test_an_interrupted_command_cancels_the_jobs_that_are_not_done(executor):
    done = JobReturn(status=JobStatus.COMPLETED)
    executor.jobs = [
        _Job("7_0", done, is_done=True),
        _Job("7_1", KeyboardInterrupt(), is_done=False),
        _Job("7_2", done, is_done=False),
    ]
    with pytest.raises(KeyboardInterrupt), submitted_jobs():
        launched(executor)
    assert [job.cancelled for job in executor.jobs] == [False, True, True]


def test_a_sweep_of_which_a_job_is_killed_names_it_after_the_others_and_fails(executor, capsys):
    lost = RuntimeError("---\nslurmstepd: error: oom-kill\n")
    executor.jobs = [
        _Job("7_0", lost, is_done=True),
        _Job("7_1", JobReturn(status=JobStatus.COMPLETED), is_done=True),
    ]
    with pytest.raises(SystemExit) as ending, submitted_sweep(SWEEP, is_sweep=True):
        assert len(launched(executor)) == 2
    assert ending.value.code == 1
    assert capsys.readouterr().err == f"error: {LOST}\n"


def test_an_interrupted_sweep_cancels_its_jobs_and_says_so(executor, capsys):
    executor.jobs = [_Job("7_0", KeyboardInterrupt(), is_done=False)]
    with pytest.raises(SystemExit) as ending, submitted_sweep(SWEEP, is_sweep=True):
        launched(executor)
    assert ending.value.code == 130
    assert executor.jobs[0].cancelled
    assert "the jobs that were not done are cancelled" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "is_sweep"), [(SWEEP, False), (SWEEP[:1], True), ([], True)])
def test_without_jobs_of_submitit_it_is_left_alone(executor, words, is_sweep):
    before = executor.map_array
    with submitted_sweep(words, is_sweep=is_sweep):
        assert executor.map_array is before


def test_submitit_is_as_it_was_afterwards(executor):
    before = executor.map_array
    with submitted_jobs():
        assert executor.map_array is not before
    assert executor.map_array is before


def test_a_job_whose_time_is_up_says_what_gives_it_more():
    late = type("UncompletedJobError", (RuntimeError,), {})("Job not requeued because: timed-out.")
    assert user_error(late).startswith(f"{late} Raise hydra.launcher.timeout_min, or ")
