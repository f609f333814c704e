"""docs/scaling.md, and the batch scripts with stand-ins for the commands of SLURM."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from gcvideo_runs import TINY
from hydra import compose, initialize_config_dir
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from gcvideo.command._assembly import multigrid_schedule, quiet_libraries
from gcvideo.command._shard import Shard

PROJECT = Path(__file__).resolve().parent.parent
DOCUMENT = PROJECT / "docs" / "scaling.md"
BATCH_SCRIPT = PROJECT / "scripts" / "slurm" / "train.sbatch"
ARRAY_SCRIPT = BATCH_SCRIPT.with_name("predict.sbatch")

_SRUN = """#!/bin/bash
printf '%s\\n' "$@" >> srun.txt
echo -- >> srun.txt
{signal}
exit {status}
"""


# Two tasks on this machine, and SIGUSR1 after the first checkpoint of the first start.
_SRUN_OF_TWO_TASKS = """#!{python}
import os, pathlib, signal, subprocess, sys, time

words = sys.argv[sys.argv.index("python") :]
tasks = [
    subprocess.Popen(words, env=os.environ | {{"SLURM_PROCID": rank, "SLURM_LOCALID": rank}})
    for rank in "01"
]
if "resume=runs/slurm_7" not in words:
    while not pathlib.Path("runs/slurm_7/checkpoints/last.ckpt").is_file():
        assert tasks[0].poll() is None
        time.sleep(0.1)
    for task in tasks:
        task.send_signal(signal.SIGUSR1)
sys.exit(max(task.wait() % 256 for task in tasks))
"""
_TWO_TASKS = {
    "SLURM_JOB_NAME": "gcvideo",
    "SLURM_NTASKS": "2",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_NNODES": "1",
    "SLURM_NODEID": "0",
    "SLURM_NODELIST": "127.0.0.1",
}


class _Cluster:
    """A folder with an srun that ends with a given status, and an scontrol that only takes notes."""

    def __init__(self, folder):
        self.folder = folder
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.add("scontrol", '#!/bin/bash\necho "$@" >> scontrol.txt\n')

    def add(self, name, text):
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def submit(self, *words, status=0, shell_signal=None):
        """The job's exit status and the words that its training was started with."""
        return self._run(BATCH_SCRIPT, "scripts/train.py", words, {}, status, shell_signal)

    def submit_part(self, *words, task, count, status=0, shell_signal=None, program="predict"):
        """The same of a task of an array, which predicts by default."""
        array = {
            "SLURM_ARRAY_JOB_ID": "9",
            "SLURM_ARRAY_TASK_ID": str(task),
            "SLURM_ARRAY_TASK_COUNT": str(count),
        }
        return self._run(ARRAY_SCRIPT, f"scripts/{program}.py", words, array, status, shell_signal)

    def _run(self, script, program, words, variables, status, shell_signal):
        send = "" if shell_signal is None else f"kill -{shell_signal} $PPID; sleep 0.2"
        self.add("srun", _SRUN.format(status=status, signal=send))
        (self.folder / "srun.txt").unlink(missing_ok=True)
        path = f"{self.programs}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", script, *words],
            cwd=self.folder,
            env={"PATH": path, "SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "3", **variables},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.stderr == ""
        (call,) = (self.folder / "srun.txt").read_text().split("--\n")[:-1]
        options, _, given = call.partition(f"python\n{program}\n")
        assert "--cpus-per-task=3" in options.splitlines()
        return done.returncode, given.splitlines()

    def requeued(self):
        calls = self.folder / "scontrol.txt"
        return calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture
def cluster(tmp_path):
    return _Cluster(tmp_path)


def test_a_first_submission_passes_the_overrides_and_a_run_folder_of_its_own(cluster):
    words = ["model=slow_gc", "data.root=/with space/k400"]
    status, training = cluster.submit(*words)
    assert status == 0
    assert training == [*words, "hydra.run.dir=runs/slurm_7", "trainer=slurm"]
    assert cluster.requeued() == []


def test_another_trainer_may_be_named(cluster):
    _, training = cluster.submit("trainer=ddp", "trainer.num_nodes=2")
    assert training == ["trainer=ddp", "trainer.num_nodes=2", "hydra.run.dir=runs/slurm_7"]


def test_a_job_whose_time_is_up_is_requeued_once_and_then_resumes(cluster):
    status, _ = cluster.submit("model=slow_gc", status=128 + signal.SIGUSR1)
    assert status == 138
    assert cluster.requeued() == ["requeue 7"]
    run = cluster.folder / "runs" / "slurm_7"
    run.mkdir(parents=True)
    (run / "config.yaml").touch()
    status, training = cluster.submit("model=slow_gc")
    assert status == 0
    assert training == ["resume=runs/slurm_7"]
    assert cluster.requeued() == ["requeue 7"]


def test_a_run_of_another_job_is_resumed_with_what_may_change(cluster):
    words = ["resume=runs/slurm_3", "trainer=slurm", "batch_size=4"]
    assert cluster.submit(*words) == (0, words)


@pytest.mark.parametrize("status", [1, 2, 128 + signal.SIGTERM, 128 + signal.SIGKILL])
def test_other_statuses_are_passed_on_without_a_requeue(cluster, status):
    assert cluster.submit("model=slow_gc", status=status)[0] == status
    assert cluster.requeued() == []


@pytest.mark.parametrize("name", ["USR1", "TERM"])
def test_a_signal_to_the_shell_does_not_keep_it_from_requeueing(cluster, name):
    assert cluster.submit(status=138, shell_signal=name)[0] == 138
    assert cluster.requeued() == ["requeue 7"]


def test_each_task_of_an_array_predicts_its_part(cluster):
    words = ["best.ckpt", "/with space/videos.txt", "output=scores.jsonl"]
    parts = [cluster.submit_part(*words, task=task, count=3) for task in range(3)]
    assert parts == [(0, [*words, f"shard={task}/3"]) for task in range(3)]
    assert [Shard.parse(part[-1].partition("=")[2]).index for _, part in parts] == [0, 1, 2]
    assert cluster.requeued() == []


@pytest.mark.parametrize("program", ["features", "check", "reencode", "index"])
def test_a_first_word_names_another_command_of_the_array(cluster, program):
    assert (PROJECT / "scripts" / f"{program}.py").is_file()
    words = ["data=folder", "data.root=/with space"]
    part = cluster.submit_part(program, *words, task=1, count=3, program=program)
    assert part == (0, [*words, "shard=1/3"])


@pytest.mark.parametrize("shell_signal", [None, "USR1", "TERM"])
def test_a_task_whose_time_is_up_is_requeued_without_the_others(cluster, shell_signal):
    status, _ = cluster.submit_part(task=2, count=4, status=138, shell_signal=shell_signal)
    assert status == 138
    assert cluster.requeued() == ["requeue 9_2"]


@pytest.mark.parametrize("status", [1, 2, 128 + signal.SIGTERM, 128 + signal.SIGKILL])
def test_a_task_that_ends_otherwise_is_not_requeued(cluster, status):
    assert cluster.submit_part(task=2, count=4, status=status)[0] == status
    assert cluster.requeued() == []


@pytest.mark.slow
def test_a_training_of_two_tasks_is_stopped_requeued_and_finished(cluster, video_folder):
    cluster.add("srun", _SRUN_OF_TWO_TASKS.format(python=sys.executable))
    (cluster.folder / "scripts").symlink_to(PROJECT / "scripts")
    tiny = [word for word in TINY if not word.startswith(("trainer=", "epochs=", "batch_size="))]
    data = ["data=folder", f"data.root={video_folder}", "model=c2d", "epochs=8", "batch_size=2"]
    programs = [str(cluster.programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    job = {"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "1", "OMP_NUM_THREADS": "1", **_TWO_TASKS}
    statuses = [
        subprocess.run(
            ["bash", BATCH_SCRIPT, *tiny, *data, "trainer.accelerator=cpu"],
            cwd=cluster.folder,
            env={**os.environ, **job, "PATH": os.pathsep.join(programs)},
            timeout=900,
        ).returncode
        for _ in range(2)
    ]
    assert statuses == [138, 0]
    assert cluster.requeued() == ["requeue 7"]
    results = json.loads((cluster.folder / "runs" / "slurm_7" / "results.json").read_text())
    assert results["epochs"] == 8


@pytest.mark.parametrize("is_job", [False, True])
def test_lightning_asks_for_srun_only_within_a_job(cluster, monkeypatch, is_job):
    cluster.add("srun", "#!/bin/bash\n")
    monkeypatch.setenv("PATH", str(cluster.programs), prepend=os.pathsep)
    if is_job:
        monkeypatch.setenv("SLURM_JOB_ID", "7")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        quiet_libraries()
        assert not SLURMEnvironment.detect()
    assert [str(warning.message)[:20] for warning in told] == ["The `srun` command i"] * is_job


def test_the_batch_script_asks_for_one_task_per_gpu_and_a_signal_to_the_tasks():
    options = dict(
        re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", BATCH_SCRIPT.read_text(), re.MULTILINE)
    )
    assert options["ntasks-per-node"] == options["gpus-per-node"]
    assert "gpus-per-task" not in options
    assert "requeue" in options
    assert options["signal"].startswith("USR1@")


def test_the_array_script_has_as_many_tasks_as_parts_and_counts_from_0():
    text = ARRAY_SCRIPT.read_text()
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", text, re.MULTILINE))
    assert options["array"].startswith("0-")
    assert "requeue" in options
    assert options["signal"].startswith("USR1@")


def composed(*overrides):
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return compose("train", [*overrides, "data.root=/data", "output_dir=/run"])


def test_the_trainer_of_slurm_has_the_nodes_and_tasks_of_the_job(monkeypatch):
    monkeypatch.setenv("SLURM_NNODES", "8")
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "4")
    trainer = composed("trainer=slurm", "data=kinetics400").trainer
    assert (trainer.num_nodes, trainer.devices, trainer.accelerator) == (8, 4, "gpu")
    monkeypatch.delenv("SLURM_NNODES")
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    trainer = composed("trainer=slurm", "data=kinetics400").trainer
    assert (trainer.num_nodes, trainer.devices) == (1, "auto")


def test_the_multigrid_experiment_has_the_epochs_and_drops_of_pyslowfast():
    schedule = multigrid_schedule(composed("experiment=kinetics400_multigrid"))
    assert schedule is not None
    # As SLOWFAST_8x8_R50_stepwise_multigrid.yaml gives them in PySlowFast's own code.
    assert schedule.num_epochs == 358
    assert schedule.milestones == (158, 259, 343)
    assert {shape.clip.num_frames for _, shape in schedule.phases} == {2, 4, 8}
    assert schedule.long_cycle(0).factor == 8


def test_the_table_of_cores_follows_from_the_times_of_the_benchmarks():
    document, benchmarks = DOCUMENT.read_text(), (PROJECT / "docs" / "benchmarks.md").read_text()
    measured = re.search(r"gcvideo, milliseconds \| ([\d.]+) \| [\d.]+ \| ([\d.]+)", benchmarks)
    assert measured is not None
    milliseconds = [float(value) for value in measured.groups()]
    rows = re.findall(r"^\| (\d+) clips/s \| (\d+) \| (\d+) \|", document, re.MULTILINE)
    assert len(rows) >= 4
    for rate, *cores in rows:
        assert [int(n) for n in cores] == [math.ceil(int(rate) * ms / 1000) for ms in milliseconds]
