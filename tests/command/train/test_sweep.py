import csv
import json
import os
import re
from types import SimpleNamespace

import pytest
from gcvideo_runs import TINY
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from rank_job import RANKS, end, launch, train_words

from gcvideo import cli
from gcvideo.command._rank_config import own_ranks
from gcvideo.command._sweep_summary import (
    SweepJob,
    begin_outcome,
    leave_outcome,
    read_jobs,
)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def words(video_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = ["data=folder", f"data.root={video_folder}", "trainer.limit_train_batches=1"]
    return ["-m", *TINY, *data, "trainer.limit_val_batches=1"]


def only_sweep(folder):
    (sweep,) = (folder / "runs" / "sweep").iterdir()
    return sweep


@pytest.mark.slow
def test_a_sweep_over_the_model_leaves_a_run_for_each_and_a_table(words, tmp_path, capsys):
    cli.main("train", [*words, "model=c2d,slow_gc"])
    sweep = only_sweep(tmp_path)
    found = {}
    for number, model in enumerate(("c2d", "slow_gc")):
        results = json.loads((sweep / str(number) / "results.json").read_text())
        assert results["model"] == model
        assert (sweep / str(number) / "checkpoints" / "best.ckpt").is_file()
        found[model] = f"{results['metrics']['best_val_top1']:.4f}"
    rows = rows_of(sweep / "sweep.csv")
    assert {row["model"]: row["best_val_top1"] for row in rows} == found
    assert [row["job"] for row in rows] == ["0", "1"]
    printed = capsys.readouterr().out
    assert all(value in printed for value in found.values())


@pytest.mark.slow
def test_a_job_that_fails_is_named_and_the_others_are_done(words, tmp_path, capsys):
    with pytest.raises(SystemExit) as ending:
        cli.main("train", [*words, "model=c2d_gc", "model.block.ratio=0.0001,0.25"])
    assert ending.value.code == 1
    rows = rows_of(only_sweep(tmp_path) / "sweep.csv")
    assert [row["model.block.ratio"] for row in rows] == ["0.0001", "0.25"]
    assert rows[0]["best_val_top1"] == "failed"
    assert 0 <= float(rows[1]["best_val_top1"]) <= 1
    out, err = capsys.readouterr()
    assert "smallest ratio that leaves two is 2/" in err
    assert re.search(r"^job 0 failed: ratio .* two is 2/", out, re.MULTILINE)


@pytest.mark.slow
def test_each_job_of_a_sweep_starts_its_own_ranks_also_after_one_that_failed(
    video_folder, tmp_path
):
    sweep = tmp_path / "sweep"
    words = ["-m", "model.block.ratio=0.0001,0.25,0.5", f"hydra.sweep.dir={sweep}", *RANKS]
    ((status, printed),) = end(launch(*train_words(video_folder, sweep, *words, "batch_size=2")))
    assert status == 1, printed
    first, *others = rows_of(sweep / "sweep.csv")
    assert first["best_val_top1"] == "failed"
    assert [row["model.block.ratio"] for row in others] == ["0.25", "0.5"]
    assert all(0 <= float(row["best_val_top1"]) <= 1 for row in others), printed


@pytest.mark.parametrize("leave", [None, "2"])
def test_a_job_leaves_the_environment_as_it_was(monkeypatch, leave):
    for name in ("MASTER_PORT", "LOCAL_RANK", "GCVIDEO_RUN_CONFIG"):
        if leave is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, leave)

    @own_ranks()
    def job():
        os.environ |= {"MASTER_PORT": "1", "LOCAL_RANK": "0", "GCVIDEO_RUN_CONFIG": "here"}
        raise RuntimeError("fails on the way")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="on the way"):
            job()
        names = ("MASTER_PORT", "LOCAL_RANK", "GCVIDEO_RUN_CONFIG")
        assert [os.environ.get(name) for name in names] == [leave] * 3


@pytest.mark.slow
def test_checkpoints_are_swept_over_too_and_their_paths_are_taken_as_typed(
    checkpoint, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    paths = [tmp_path / "a (1).ckpt", tmp_path / "b=2.ckpt"]
    for path in paths:
        path.symlink_to(checkpoint)
    given = ["trainer=cpu", "num_workers=0", "trainer.enable_progress_bar=false"]
    cli.main("test", ["-m", f"checkpoint={paths[0]},{paths[1]}", *given])
    rows = rows_of(only_sweep(tmp_path) / "sweep.csv")
    assert len(rows) == 2
    assert rows[0]["test/top1"] == rows[1]["test/top1"]


def test_jobs_are_read_in_the_order_of_their_numbers(tmp_path):
    for number in (0, 2, 10):
        run = tmp_path / str(number)
        (run / ".hydra").mkdir(parents=True)
        (run / ".hydra" / "overrides.yaml").write_text(f"- lr={number}\n")
    (tmp_path / "2" / ".hydra" / "outcome.json").write_text('{"value": 0.5, "error": null}')
    (tmp_path / "10" / ".hydra" / "outcome.json").write_text('{"value": null, "error": "no lr"}')
    (tmp_path / "other").mkdir()
    assert read_jobs(tmp_path) == [
        SweepJob(tmp_path / "0", {"lr": "0"}, None, "it was killed, or has not ended"),
        SweepJob(tmp_path / "2", {"lr": "2"}, 0.5),
        SweepJob(tmp_path / "10", {"lr": "10"}, None, "no lr"),
    ]


def test_of_a_killed_job_the_result_of_an_earlier_one_in_its_folder_does_not_count(
    tmp_path, monkeypatch
):
    runtime = SimpleNamespace(output_dir=str(tmp_path / "0"))
    hydra = SimpleNamespace(mode=RunMode.MULTIRUN, runtime=runtime)
    monkeypatch.setattr(HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(HydraConfig, "get", lambda: hydra)
    assert leave_outcome(0.5)
    (tmp_path / "0" / ".hydra" / "overrides.yaml").write_text("- output='${lr}.csv'\n")
    given = {"output": "'${lr}.csv'"}
    assert read_jobs(tmp_path) == [SweepJob(tmp_path / "0", given, 0.5)]
    begin_outcome()
    killed = "it was killed, or has not ended"
    assert read_jobs(tmp_path) == [SweepJob(tmp_path / "0", given, None, killed)]
    hydra.mode = RunMode.RUN
    assert not leave_outcome(0.5)
    assert read_jobs(tmp_path)[0].error == killed
