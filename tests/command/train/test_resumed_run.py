import json
import shutil
import warnings

import pytest
import torch
from omegaconf import OmegaConf
from stopped_training import contents, resumed, saved

from gcvideo.command.train._resuming import ResumeError
from gcvideo.command.train._training import train
from gcvideo.evaluation import VideoScores, calibration

pytestmark = pytest.mark.slow  # trainings, which take most of the time of a default suite


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["trainer=cpu"], ("cpu", 1)),
        (["trainer=ddp", "trainer.devices=4"], ("auto", 4)),
        (["trainer.devices=4", "trainer=ddp"], ("auto", 4)),
        (["trainer.gradient_clip_val=3", "trainer=auto"], ("auto", 1)),
    ],
)
def test_another_trainer_changes_where_a_run_is_computed_and_nothing_else(run, words, place):
    before, after = resumed(f"resume={run}").trainer, resumed(f"resume={run}", *words).trainer
    assert (after.accelerator, after.devices) == place
    assert ("trainer=ddp" in words) == (after.strategy != "auto")
    placing = ("accelerator", "devices", "num_nodes", "strategy")
    changed = {key for key in before if before[key] != after[key]} - {*placing}
    assert changed == {word.partition("=")[0].partition(".")[2] for word in words if "clip" in word}
    assert after.max_epochs == 3
    assert after.limit_train_batches == 3


def test_settings_of_the_machine_are_read_again_where_a_run_goes_on(run, monkeypatch):
    monkeypatch.setenv("SLURM_NNODES", "2")
    cfg = resumed(f"resume={run}", "trainer=slurm")
    monkeypatch.setenv("SLURM_NNODES", "3")
    assert cfg.trainer.num_nodes == 3


@pytest.mark.parametrize(
    "target", ["gcvideo.training.ShardedStrategy", "gcvideo.training.sharding.ShardedStrategy"]
)
def test_a_run_that_was_sharded_goes_on_under_another_strategy_alone(run, target):
    config = OmegaConf.load(run / "config.yaml")
    config.trainer.strategy = {"_target_": target}
    OmegaConf.save(config, run / "config.yaml")
    with pytest.raises(
        ResumeError,
        match=r"trained with trainer=fsdp, which this version no longer has; .* go on with trainer=ddp",
    ):
        resumed(f"resume={run}", "trainer.devices=1")
    train(resumed(f"resume={run}", "trainer=cpu"))
    assert saved(run)["progress"]["finished"]


def best_state(checkpoint):
    (state,) = [s for name, s in checkpoint["callbacks"].items() if "BestCheckpoint" in name]
    return state


def raise_best_score(folder, score):
    """As if an epoch had been better than any that follows can be."""
    for path in (folder / "checkpoints").iterdir():
        content = torch.load(path, weights_only=True)
        best = best_state(content)
        best["best_model_score"] = best["kth_value"] = torch.tensor(score)
        best["best_k_models"] = {best["best_model_path"]: torch.tensor(score)}
        torch.save(content, path)


def test_a_run_whose_folder_was_moved_keeps_its_best_epoch(run):
    raise_best_score(run, 1.5)
    best = (run / "checkpoints" / "best.ckpt").read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = train(resumed(f"resume={run}"))
    assert metrics["best_val_top1"] == 1.5
    assert (run / "checkpoints" / "best.ckpt").read_bytes() == best
    assert best_state(saved(run))["best_model_path"] == str(run / "checkpoints" / "best.ckpt")


def test_a_best_checkpoint_that_is_gone_counts_no_longer(run, capsys):
    raise_best_score(run, 1.5)
    path = run / "checkpoints" / "best.ckpt"
    path.unlink()
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("max_epochs: ${epochs}", "max_epochs: 4"))
    assert train(resumed(f"resume={run}"))["best_val_top1"] <= 1
    assert f"'{path}' with val/top1 1.5000 is gone" in capsys.readouterr().out
    assert saved(run, "best")["epoch"] == 3


def test_a_metric_of_before_the_stop_stands_in_the_results(run, capsys):
    metrics = train(resumed(f"resume={run}"))
    before = best_state(saved(run, "best"))["best_model_score"]
    assert metrics["last_val_top1"] == metrics["best_val_top1"] == before
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert line.startswith("epoch 3/3  loss")
    assert "val" not in line
    results = json.loads((run / "results.json").read_text())
    assert results["last_validated_epoch"] == 2
    # Scores of that validation were in the checkpoint.
    scores = VideoScores.of_state(saved(run)["val_scores"])
    right = (scores.scores().argmax(1) == scores.labels()).double().mean()
    assert float(right) == pytest.approx(before)
    error = calibration(scores.labels(), scores.scores()).error
    assert results["calibration"]["expected_calibration_error"] == pytest.approx(error)


def test_a_finished_run_that_is_resumed_changes_nothing(run, capsys):
    metrics = train(resumed(f"resume={run}"))
    before = contents(run)
    shutil.rmtree(run.parent / "videos")  # which nobody asks for
    assert train(resumed(f"resume={run}", "trainer=auto")) == metrics
    assert "is finished: 3 epochs, 9 steps; nothing is changed" in capsys.readouterr().out
    assert contents(run) == before


@pytest.mark.slow
def test_an_early_stopped_run_is_finished(compose_config, tmp_path, tiny, video_folder):
    words = [*tiny, "model=c2d", "data=folder", f"data.root={video_folder}", "epochs=9"]
    words += ["logger=none", "early_stopping=default", "early_stopping.patience=1", "lr=1e-9"]
    metrics = train(compose_config("train", [*words, f"output_dir={tmp_path}"]))
    before = json.loads((tmp_path / "results.json").read_text())
    assert before["epochs"] == 2
    step = saved(tmp_path)["global_step"]
    assert train(resumed(f"resume={tmp_path}")) == metrics
    # Killed before it could write its results.
    (tmp_path / "results.json").unlink()
    assert train(resumed(f"resume={tmp_path}")) == metrics
    after = json.loads((tmp_path / "results.json").read_text())
    assert before["calibration"] is not None
    assert before | {"seconds": 0} == after | {"seconds": 0}
    assert saved(tmp_path)["global_step"] == step
