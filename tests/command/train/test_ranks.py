import csv
import os
import random
import signal
import socket
import time
from threading import Thread

import pytest
import torch
from rank_job import (
    ONE,
    RANKS,
    assert_equal_scores,
    end,
    fault,
    launch,
    seconds_since_fault,
    slurm,
    start,
    torchrun,
    train_words,
    write_list,
)
from score_ranks import score_words
from two_ranks import run_in_two

from gcvideo.command._rank_failure import FirstRankWatch, RankFailure, RankWatch
from gcvideo.command._testing import test as score

pytestmark = pytest.mark.slow
STEPS = 20


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def num_steps(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]


def assert_one_run(folder):
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]
    assert [path.name for path in folder.glob("*.log")] in (["train.log"], [])
    assert (folder / "results.json").is_file()


def many_videos(folder, data):
    """88 videos that are links to twelve: with few epochs of many steps, hardly any time goes by."""
    for number in range(44):
        for name in ("dark", "light"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            link = folder / name / f"{name}_{number}.mp4"
            link.symlink_to(data / name / f"{name}_{number % 6}.mp4")
    return folder


def losses(folder):
    with (folder / "csv" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [float(row["train/loss_step"]) for row in rows if row["train/loss_step"]]


def give_srun(patch, folder):
    """A command of SLURM on the path."""
    folder.mkdir()
    (folder / "srun").touch(0o755)
    patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_two_ranks_learn_as_one(tmp_path, video_folder, monkeypatch):
    """That the machine has a command of SLURM changes nothing, and nothing is said of it."""
    give_srun(monkeypatch, tmp_path / "bin")
    words = ["data.val_fraction=0.05", "epochs=2", "batch_norm.mode=sync", "optimizer=sgd"]
    videos = many_videos(tmp_path / "videos", video_folder)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, more in zip(
        folders, ([*ONE, "batch_size=8"], [*RANKS, "batch_size=4"]), strict=True
    ):
        ((status, printed),) = end(launch(*train_words(videos, folder, *words, *more)))
        assert status == 0, printed
        assert "srun" not in printed
    one, two = (losses(folder) for folder in folders)
    assert len(one) == len(two) >= STEPS
    assert two[:STEPS] == pytest.approx(one[:STEPS], abs=1e-4)
    assert [path.name for path in folders[1].glob("*.log")] == ["train.log"]


@pytest.fixture(scope="module")
def scored(project, tmp_path_factory, video_folder, checkpoint):
    """A folder with lists, and the scores that two processes, started once, have given their videos."""
    folder = tmp_path_factory.mktemp("scored")
    (folder / "best.ckpt").symlink_to(checkpoint)
    (folder / "videos").symlink_to(video_folder)
    (folder / "lists").mkdir()
    for num_videos in (1, 7, 8):
        write_list(folder / "lists" / str(num_videos), video_folder, num_videos)
    (folder / "lists" / "12").symlink_to(video_folder)
    with pytest.MonkeyPatch.context() as patch:
        give_srun(patch, folder / "bin")
        printed = run_in_two(project / "tests" / "score_ranks.py", folder)
    assert "srun" not in printed
    return folder


@pytest.mark.parametrize("num_videos", [1, 7, 8, 12])
def test_ranks_score_each_video_once(scored, compose_config, num_videos):
    """Fewer videos than there are ranks, numbers that they divide and one that they do not; 12 is a folder."""
    listed, folder = scored / "lists" / str(num_videos), scored / "one" / str(num_videos)
    score(compose_config("test", [*score_words(scored, listed, folder), *ONE]))
    assert_equal_scores(folder, scored / "two" / str(num_videos), num_videos)
    if listed.is_dir():
        tables = [scored / name / "12" / "scores.csv" for name in ("one", "two")]
        assert tables[0].read_text() == tables[1].read_text()


def test_torchrun_on_two_machines_makes_one_run(tmp_path, video_folder):
    folder, port = tmp_path / "runs" / "run", str(free_port())
    words = train_words(video_folder, folder, *RANKS, "trainer.devices=1", "trainer.num_nodes=2")
    agents = [
        ["--nnodes", "2", "--node-rank", rank, "--master-addr", "127.0.0.1", "--master-port", port]
        for rank in ("0", "1")
    ]
    for status, printed in end(
        *(torchrun(*words, agent=[*agent, "--nproc-per-node", "1"]) for agent in agents)
    ):
        assert status == 0, printed
    assert_one_run(folder)


def test_slurm_makes_one_run_and_says_a_mistake_once(tmp_path, video_folder):
    folder, job_id = tmp_path / "runs" / "run", random.SystemRandom().randint(1000, 9000)
    words = train_words(video_folder, folder, *RANKS, "trainer=slurm")
    for status, printed in end(*slurm(job_id, *words)):
        assert status == 0, printed
    assert_one_run(folder)
    other = train_words(video_folder, tmp_path / "runs" / "other", *RANKS, "trainer=slurm")
    ended = end(*slurm(job_id + 2, *other, "batch_size=1000"))
    assert [status for status, _ in ended] == [1, 1]
    assert sum(printed.count("error: batch_size is 1000") for _, printed in ended) == 1
    ended = end(*slurm(job_id + 4, *words, "bach_size=2"))
    assert [status for status, _ in ended] == [2, 2]
    assert sum(printed.count("did you mean batch_size") for _, printed in ended) == 1


@pytest.mark.parametrize("launcher", [launch, torchrun])
def test_a_job_that_is_asked_to_stop_goes_on_later(tmp_path, video_folder, launcher):
    folder = tmp_path / "runs" / "run"
    job = launcher(*train_words(video_folder, folder, *RANKS, "epochs=12", "batch_size=2"))
    deadline = time.monotonic() + 600
    while not (folder / "checkpoints" / "last.ckpt").is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(job.pid, signal.SIGTERM)
    ((status, printed),) = end(job)
    assert status not in (0, -signal.SIGKILL)
    assert "go on with: python scripts/train.py resume=" in printed
    step = num_steps(folder)
    ((status, printed),) = end(launcher(f"resume={folder}"))
    assert status == 0, printed
    assert f"resume     step {step} of" in printed
    assert_one_run(folder)


@pytest.mark.parametrize("launcher", [launch, torchrun])
@pytest.mark.parametrize("how", ["kill", "raise"])
@pytest.mark.parametrize("hang", [True, False])
def test_a_rank_that_fails_ends_the_job_with_its_reason(
    tmp_path, video_folder, launcher, how, hang, monkeypatch
):
    # Rank 0, which hears no signal in its sleep, is given less than half a minute by torchrun.
    monkeypatch.setenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "3")
    words = [*RANKS, "epochs=50", "batch_size=2", *fault(how, hang=hang)]
    ((status, printed),) = end(launcher(*train_words(video_folder, tmp_path / "run", *words)))
    assert status != 0
    assert seconds_since_fault(printed) < 120
    reasons = {
        "kill": ("killed by signal 9 (SIGKILL)", "terminated with code -9", "exitcode  : -9"),
        "raise": ("rank one has lost its way",),
    }
    assert any(reason in printed for reason in reasons[how]), printed
    assert "rank 1" in printed or "rank      : 1" in printed
    if launcher is launch and how == "kill" and hang:  # nobody but our watch can tell
        assert "error: rank 1: process" in printed
        assert "was killed by signal 9 (SIGKILL)" in printed


@pytest.mark.parametrize("launcher", [launch, torchrun])
def test_a_mistake_is_said_by_the_first_rank(tmp_path, video_folder, launcher):
    words = train_words(video_folder, tmp_path / "run", *RANKS, "batch_size=1000")
    ((status, printed),) = end(launcher(*words))
    assert status != 0
    assert printed.count("error: batch_size is 1000 but there are only") == 1


def test_the_rank_that_failed_first_is_named_to_all(monkeypatch):
    monkeypatch.setattr("gcvideo.command._rank_failure._end_soon", lambda: None)
    first = FirstRankWatch("127.0.0.1", num_ranks=3)
    address = first.address("127.0.0.1")
    other = RankWatch(address, 1)
    code = f"""
import os, signal, time
from score_ranks import score_words
from two_ranks import run_in_two

from gcvideo.command._rank_failure import RankWatch
RankWatch({address!r}, 2)
if os.fork():
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60)  # a loader process, which outlives its rank
"""
    with start("-c", code) as process:
        assert first._decided.wait(30)
        failure = other.fail("connection closed by peer")
        process.stdout.close()
    assert failure.rank == 2
    assert "was killed by signal 9 (SIGKILL)" in failure.reason
    assert first.fail("connection closed by peer") == failure == RankFailure(*failure)
    first.close()


def test_a_first_rank_that_is_done_at_once_waits_for_those_that_still_start():
    first = FirstRankWatch("127.0.0.1", num_ranks=2)
    ending = Thread(target=first.close)
    ending.start()
    ending.join(0.3)
    assert ending.is_alive()
    other = RankWatch(first.address("127.0.0.1"), 1)
    ending.join(30)
    assert not ending.is_alive()
    other.close()


def test_a_rank_without_a_first_is_told_so():
    with pytest.raises(ConnectionError, match="rank 3 cannot reach the first rank"):
        RankWatch(f"127.0.0.1:{free_port()}:token", 3)
