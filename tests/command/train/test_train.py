import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

import gcvideo
from gcvideo.command._user_error import user_error
from gcvideo.command.train import _training as training
from gcvideo.command.train._training import train
from gcvideo.inference import read_checkpoint


def test_a_run_folder_holds_what_reproduces_and_explains_the_run(trained):
    names = {str(path.relative_to(trained)) for path in trained.rglob("*") if path.is_file()}
    assert {
        "config.yaml",
        "environment.json",
        "results.json",
        "learning_curve.png",
        "csv/metrics.csv",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
    } <= names
    assert any(name.startswith("tensorboard/events") for name in names)
    results = json.loads((trained / "results.json").read_text())
    assert results["videos"] == {"train": 10, "val": 2}
    assert results["classes"] == ["dark", "light"]
    assert 0 <= results["metrics"]["best_val_top1"] <= 1
    assert results["cost"]["parameters"] > 0
    environment = json.loads((trained / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__.partition("+")[0]
    config = OmegaConf.load(trained / "config.yaml")
    assert config.num_classes == 2
    columns = {}
    for name in ("metrics", "timing"):
        with (trained / "csv" / f"{name}.csv").open() as file:
            columns[name] = set(csv.DictReader(file).fieldnames)
    assert {"train/loss_step", "train/loss_epoch", "val/top1"} <= columns["metrics"]
    assert any(name.startswith("lr-AdamW") for name in columns["metrics"])
    assert columns["timing"] == {"clips_per_second", "data_wait", "epoch", "step"}


def test_a_run_tells_what_was_inserted_and_where(trained):
    printed = (trained / "printed.txt").read_text()
    assert "5 blocks add" in printed
    assert "after_conv3" in printed
    assert "2 classes" in printed
    assert "best validation top-1" in printed


def test_the_log_of_a_run_is_what_the_screen_showed(trained):
    printed = (trained / "printed.txt").read_text()
    logged = (trained / "train.log").read_text()
    assert [line for line in printed.splitlines() if line not in logged] == []
    assert "Opening the validation videos" in logged  # which goes to standard error
    assert re.search(r"^epoch 1/1  loss .*, val .*  top-1 .*, val ", logged, re.MULTILINE)


def test_a_run_ends_with_the_commands_that_come_next(trained, video_folder):
    ended = (trained / "printed.txt").read_text().partition("\nfinished in ")[2].splitlines()
    assert [line.split("  ")[1] for line in ended[1:4]] == [
        *("chance", "majority class", "best validation top-1")
    ]
    test, predict = (line.strip() for line in ended[-2:])
    assert test == f"gcvideo test checkpoint={trained}/checkpoints/best.ckpt"
    video = re.escape(str(video_folder)) + r"/\w+/\w+\.mp4"
    assert re.fullmatch(re.escape(test.replace("test", "predict", 1)) + f" video={video}", predict)


def test_a_checkpoint_alone_rebuilds_the_classifier(checkpoint, video_folder):
    clf = gcvideo.load(checkpoint, device="cpu")
    assert clf.classes == ("dark", "light")
    assert clf.protocol.name == "slowfast_whole"
    ranking = clf.classify(video_folder / "dark" / "dark_0.mp4", top_k=5)
    assert len(ranking) == 2
    assert ranking[0].score >= ranking[1].score
    assert sum(p.score for p in ranking) == pytest.approx(1, abs=1e-5)


def test_the_checkpoint_holds_plain_data_only(checkpoint):
    content = torch.load(checkpoint, weights_only=True)
    assert content["gcvideo"]["classes"] == ["dark", "light"]
    assert content["gcvideo"]["config"]["protocol"]["name"] == "slowfast_whole"
    assert read_checkpoint(checkpoint).config["model"]["name"] == "i3d_gc"


@pytest.fixture
def config(compose_config, tiny, video_folder, tmp_path):
    """The configuration of a tiny training with overrides."""

    def compose(*overrides):
        words = [*tiny, "model=c2d", "data=folder", f"data.root={video_folder}", "callbacks=none"]
        words += ["logger=none", f"output_dir={tmp_path}", *overrides]
        # Hydra takes a choice once.
        return compose_config("train", list({w.partition("=")[0]: w for w in words}.values()))

    return compose


def test_a_net_trained_on_motion_is_loaded_and_scored_on_motion(config, video_folder):
    cfg = config("protocol=even", "protocol.normalization=motion", "num_clips=1", "num_crops=1")
    train(cfg)
    clf = gcvideo.load(Path(cfg.output_dir) / "checkpoints" / "last.ckpt", device="cpu")
    assert clf.model.normalization == clf.protocol.normalization == "motion"
    assert str(clf.protocol).endswith("average prob, input motion")
    frames = gcvideo.data.read_frames(video_folder / "dark" / "dark_0.mp4", range(4))
    brighter = frames // 2 + 100
    np.testing.assert_allclose(clf.scores(brighter), clf.scores(frames // 2), atol=1e-5)


@pytest.mark.slow
def test_training_is_reproducible(config, tmp_path):
    once, again = (train(config(f"output_dir={tmp_path / folder}")) for folder in "ab")
    assert once == again


@pytest.mark.slow
def test_mixing_trains_and_leaves_training_accuracy_out(config):
    metrics = train(config("mixing=mixup_cutmix"))
    assert "last_train_top1_epoch" not in metrics
    assert metrics["last_train_loss_epoch"] > 0


@pytest.mark.slow
def test_training_starts_from_a_run_with_other_classes(config, tmp_path, trained, capsys):
    three = tmp_path / "classes.txt"
    three.write_text("dark\nlight\ndusk\n")
    words = ["model=i3d_gc", f"data.classes={three}", "train_only=blocks"]
    train(config(*words, "weights=checkpoint", f"weights.path={trained}"))
    printed = capsys.readouterr().out
    assert "; the head has 2 of 3 classes by name, the others start fresh" in printed


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.block.ratio=0.0001"], r"smallest ratio that leaves two is 2/"),
        (["data.root=???"], r"data\.root has no value; give it on the command line: data\.root="),
        (
            ["num_classes=5"],
            "num_classes is 5 but the data has 2 classes; .* data.classes, which may include",
        ),
        (["data.root=/no/such"], r"data\.root is '/no/such', which is not a folder"),
        (["batch_size=64"], "batch_size is 64 but there are only 10 training videos"),
        (["model.placement.res4=[9]"], "res4 has no block 9: it has 6 blocks"),
        (["weights=checkpoint", "weights.path=/no/such.ckpt"], "no weights at '/no/such.ckpt'"),
        (["model=c2d", "num_frames=1"], "the net cannot compute a view of 1 x 32 x 32"),
        (
            ["model.block.ratio=abc"],
            r"(?s)gcvideo\.models.*full_key: model\.net\nlook at the values",
        ),
        (
            ["epochs=2", "trainer.check_val_every_n_epoch=2", "trainer.max_epochs=1"],
            "nothing would be validated",
        ),
        (["trainer.accelerator=mps"], "MPSAccelerator.* not available"),
        (["trainer.precision=half"], "Precision 'half' is invalid"),
        (["optimizer.betas=3"], "the optimizer does not take its arguments"),
    ],
)
def test_mistakes_of_the_user_end_in_one_message(config, overrides, message):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - Hydra wraps what it builds
        train(config("model=i3d_gc", *overrides))
    explanation = user_error(caught.value)
    assert explanation is not None
    assert re.search(message, explanation)


@pytest.mark.slow
def test_a_clip_longer_than_the_video_still_trains(config):
    assert 0 <= train(config("num_frames=32", "sampling_rate=8"))["last_val_top1"] <= 1


def test_operators_use_as_many_threads_as_they_are_told(config, monkeypatch):
    told = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)

    def stop(node):
        raise InterruptedError

    # Threads are set before anything is built.
    monkeypatch.setattr(training, "build", stop)
    for words in ([], ["num_threads=3"]):
        with pytest.raises(InterruptedError):
            train(config(*words))
    assert told == [3]
