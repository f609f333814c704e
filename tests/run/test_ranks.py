import csv

import pytest
from rank_job import (
    ONE,
    RANKS,
    assert_equal_scores,
    end,
    fault,
    launch,
    score,
    seconds_since_fault,
    train_words,
    write_list,
)

STEPS = 20


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


@pytest.mark.slow
def test_two_ranks_learn_and_score_as_one(tmp_path, video_folder):
    words = ["data.val_fraction=0.05", "epochs=2", "batch_norm.mode=sync", "optimizer=sgd"]
    videos = many_videos(tmp_path / "videos", video_folder)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, more in zip(
        folders, ([*ONE, "batch_size=8"], [*RANKS, "batch_size=4"]), strict=True
    ):
        ((status, printed),) = end(launch(*train_words(videos, folder, *words, *more)))
        assert status == 0, printed
    one, two = (losses(folder) for folder in folders)
    assert len(one) == len(two) >= STEPS
    assert two[:STEPS] == pytest.approx(one[:STEPS], abs=1e-4)
    assert [path.name for path in folders[1].glob("*.log")] == ["train.log"]
    checkpoint = folders[0] / "checkpoints" / "best.ckpt"
    listed = f"data.test={write_list(tmp_path / 'seven.txt', video_folder, 7)}"
    scored = [tmp_path / "one_scores", tmp_path / "two_scores"]
    jobs = [
        score(scored[0], checkpoint, video_folder, listed, *ONE),
        score(scored[1], checkpoint, video_folder, listed, *RANKS),
    ]
    for status, printed in end(*jobs):
        assert status == 0, printed
    assert_equal_scores(scored[0], scored[1], 7)
    assert not list(scored[1].glob("train*.log"))


@pytest.mark.slow
def test_a_killed_rank_ends_the_job_with_its_reason(tmp_path, video_folder):
    words = [*RANKS, "epochs=50", *fault("kill", hang=True)]
    job = launch(*train_words(video_folder, tmp_path / "run", *words, "batch_size=2"))
    ((status, printed),) = end(job)
    assert status != 0
    assert seconds_since_fault(printed) < 60
    assert "error: rank 1: process" in printed
    assert "was killed by signal 9 (SIGKILL)" in printed
