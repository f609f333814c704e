"""Jobs of two processes for the tests of ranks, and a callback that makes one of them fail."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gcvideo_runs import TINY
from lightning import Callback

PROJECT = Path(__file__).resolve().parent.parent
ONE = ["trainer=cpu", "trainer.devices=1"]
RANKS = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
# To be long under way when a rank is killed, and to find a machine that is busy with other tests.
TIMEOUT = 900


class RankFault(Callback):
    """Fails on rank 1 at the third step of training while, if asked to, rank 0 waits for ever.

    Args:
        how: "kill" or "raise".
        hang: rank 0 does not notice, as in a collective that never returns.
    """

    def __init__(self, how, hang=False):
        self.how = how
        self.hang = hang

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step != 3:
            return
        print(f"fault at {time.time()}", flush=True)
        if trainer.global_rank == 0:
            time.sleep(10_000 if self.hang else 0)
        elif self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            raise RuntimeError("rank one has lost its way")


def train_words(data, folder, *overrides):
    """Arguments of scripts/train.py for a tiny run; later ones take the place of earlier ones."""
    given = ["model=c2d_gc", "data=folder", f"data.root={data}", f"hydra.run.dir={folder}"]
    words = [*TINY, *given, "dropout=0", "~logger.tensorboard", *overrides]
    last = {word.partition("=")[0]: word for word in words}
    return list(last.values())


def torchrun(*words, script="train", agent=("--standalone", "--nproc-per-node", "2")):
    return start("-m", "torch.distributed.run", *agent, f"scripts/{script}.py", *words)


def launch(*words, script="train"):
    return start(f"scripts/{script}.py", *words)


def start(*command, **variables):
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'tests'}",
        **variables,
    }
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def slurm(job_id, *words):
    """Both tasks of a job of srun."""
    common = {
        "SLURM_JOB_ID": str(job_id),
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "localhost",
        "SLURM_JOB_NODELIST": "localhost",
    }
    return [
        start("scripts/train.py", *words, **common, SLURM_PROCID=rank, SLURM_LOCALID=rank)
        for rank in ("0", "1")
    ]


def end(*processes):
    """Exit status and output of each."""
    try:
        printed = [process.communicate(timeout=TIMEOUT)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, text) for process, text in zip(processes, printed, strict=True)]


def fault(how, *, hang=False):
    return [f"+callbacks.fault={{_target_: rank_job.RankFault, how: {how}, hang: {hang}}}"]


def seconds_since_fault(printed):
    words = [line for line in printed.splitlines() if line.startswith("fault at")]
    return time.time() - float(words[0].split()[-1])


def results(folder):
    with (folder / "scores.csv").open() as file:
        return list(csv.DictReader(file)), json.loads((folder / "results.json").read_text())


def write_list(path, data, num_videos):
    """Alternating labels, every third one wrong, so that no metric is 0 or 1."""
    videos = [data / name / f"{name}_{n}.mp4" for n in range(6) for name in ("dark", "light")]
    labels = [(n % 2) ^ (n % 3 == 2) for n in range(num_videos)]
    lines = [f"{video} {int(label)}" for video, label in zip(videos, labels, strict=False)]
    path.write_text("\n".join(lines))
    return path


def assert_equal_scores(one, two, num_videos):
    (rows, result), (others, other) = results(one), results(two)
    assert result["metrics"] == other["metrics"]
    for written in (result, other):
        counts = [written[f"videos_{name}"] for name in ("listed", "scored", "failed")]
        assert counts == [num_videos, num_videos, 0]
    assert len(rows) == len(others) == num_videos
    for row, same in zip(rows, others, strict=True):
        assert [row[key] for key in ("video", "label", "prediction")] == [
            same[key] for key in ("video", "label", "prediction")
        ]
        for name in ("dark", "light"):
            assert float(row[name]) == pytest.approx(float(same[name]), abs=1.5e-6)
