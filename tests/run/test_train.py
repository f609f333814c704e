import csv
import json
import re

import pytest
import torch
from omegaconf import OmegaConf

import gcvideo
from gcvideo import run
from gcvideo.data import annotated_videos
from gcvideo.inference import read_checkpoint
from gcvideo.run import predict, train
from gcvideo.run.composition import user_error


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
    with (trained / "csv" / "metrics.csv").open() as file:
        columns = csv.DictReader(file).fieldnames
    assert {"train/loss_step", "val/top1", "clips_per_second", "data_wait"} <= set(columns)


def test_a_run_tells_what_was_inserted_and_where(trained):
    printed = (trained / "printed.txt").read_text()
    assert "5 blocks add" in printed
    assert "after_conv3" in printed
    assert "2 classes" in printed
    assert "best checkpoint" in printed


def test_a_checkpoint_alone_rebuilds_the_classifier(checkpoint, video_folder):
    clf = gcvideo.load(checkpoint, device="cpu")
    assert clf.classes == ("dark", "light")
    assert clf.protocol.name == "slowfast"
    ranking = clf.classify(video_folder / "dark" / "dark_0.mp4", top_k=5)
    assert len(ranking) == 2
    assert ranking[0].score >= ranking[1].score
    assert sum(p.score for p in ranking) == pytest.approx(1, abs=1e-5)


def test_the_checkpoint_holds_plain_data_only(checkpoint):
    content = torch.load(checkpoint, weights_only=True)
    assert content["gcvideo"]["classes"] == ["dark", "light"]
    assert content["gcvideo"]["config"]["protocol"]["name"] == "slowfast"
    assert read_checkpoint(checkpoint).config["model"]["name"] == "i3d_gc"


def run_test(compose_config, folder, checkpoint, *overrides):
    given = [f"checkpoint={checkpoint}", f"output_dir={folder}", "trainer=cpu", "num_workers=0"]
    cfg = compose_config("test", [*given, "trainer.enable_progress_bar=false", *overrides])
    metrics = run.test(cfg)
    return metrics, json.loads((folder / "results.json").read_text())


def test_the_test_scores_every_listed_video_with_all_views(
    compose_config, tmp_path, checkpoint, trained
):
    metrics, results = run_test(compose_config, tmp_path, checkpoint)
    assert results["videos_listed"] == results["videos_scored"] == 2
    assert results["views_per_video"] == 2
    clf = gcvideo.load(checkpoint, device="cpu")
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        scores = clf.scores(row["video"], num_clips=2)
        assert [float(row[name]) for name in clf.classes] == pytest.approx(
            scores.tolist(), abs=2e-6
        )
    correct = [row["label"] == row["prediction"] for row in rows]
    assert metrics["test/top1"] == pytest.approx(sum(correct) / len(correct))


def test_the_test_takes_other_data_protocol_and_views(
    compose_config, tmp_path, checkpoint, video_folder
):
    _, results = run_test(
        compose_config,
        tmp_path,
        checkpoint,
        "data=folder",
        f"data.root={video_folder}",
        f"data.test={video_folder}",
        "protocol=mmaction",
        "num_clips=3",
    )
    assert results["videos_scored"] == 12
    assert results["views_per_video"] == 3
    assert results["protocol"].startswith("mmaction: 3 clips x 1 crops")


def test_data_with_other_classes_is_refused(compose_config, tmp_path, checkpoint, video_folder):
    other = tmp_path / "classes.txt"
    other.write_text("dark\nlight\ndusk\n")
    with pytest.raises(
        ValueError, match=r"the checkpoint knows 2 classes .dark, light., the data has 3"
    ):
        run_test(
            compose_config,
            tmp_path,
            checkpoint,
            "data=folder",
            f"data.root={video_folder}",
            f"data.classes={other}",
        )


def test_prediction_goes_on_past_a_broken_file_and_names_it(
    compose_config, tmp_path, checkpoint, video_folder
):
    for name in ("dark_0", "light_0"):
        source = video_folder / name.partition("_")[0] / f"{name}.mp4"
        (tmp_path / f"{name}.mp4").symlink_to(source)
    (tmp_path / "broken.mp4").write_bytes(b"")
    given = [f"checkpoint={checkpoint}", f"video={tmp_path}", "device=cpu", "top_k=1"]
    cfg = compose_config("predict", [*given, f"output={tmp_path / 'out.json'}"])
    rankings, failures = predict(cfg)
    assert len(rankings) == 2
    assert list(failures) == [str(tmp_path / "broken.mp4")]
    written = json.loads((tmp_path / "out.json").read_text())
    assert set(written["predictions"]) == set(rankings)
    assert "broken.mp4" in written["failures"][str(tmp_path / "broken.mp4")]
    cfg.output = str(tmp_path / "out.csv")
    predict(cfg)
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert {row["rank"] for row in rows} == {"1", ""}


def test_a_glob_and_a_single_file_are_found_and_nothing_is_an_error(
    compose_config, checkpoint, video_folder
):
    for video, count in ((f"{video_folder}/*/*_1.mp4", 2), (f"{video_folder}/dark/dark_1.mp4", 1)):
        cfg = compose_config(
            "predict", [f"checkpoint={checkpoint}", f"video='{video}'", "device=cpu"]
        )
        assert len(predict(cfg)[0]) == count
    cfg = compose_config("predict", [f"checkpoint={checkpoint}", "video=/no/such/*.mp4"])
    with pytest.raises(FileNotFoundError, match="no video at '/no/such/"):
        predict(cfg)


def test_an_output_of_another_kind_is_refused(compose_config, checkpoint):
    cfg = compose_config("predict", [f"checkpoint={checkpoint}", "video=x.mp4", "output=table.txt"])
    with pytest.raises(ValueError, match=r"output is 'table\.txt'; give a file ending in"):
        predict(cfg)


def test_training_is_reproducible(compose_config, tmp_path, tiny, video_folder):
    def weights(folder):
        cfg = compose_config(
            "train",
            [
                *tiny,
                "model=c2d",
                "data=folder",
                f"data.root={video_folder}",
                "logger=none",
                f"output_dir={tmp_path / folder}",
                "callbacks=none",
            ],
        )
        train(cfg)
        return json.loads((tmp_path / folder / "results.json").read_text())["metrics"]

    assert weights("a") == weights("b")


def test_mixing_trains_and_leaves_training_accuracy_out(
    compose_config, tmp_path, tiny, video_folder
):
    cfg = compose_config(
        "train",
        [
            *tiny,
            *("model=c2d", "data=folder", f"data.root={video_folder}", "mixing=mixup_cutmix"),
            *(f"output_dir={tmp_path}", "callbacks=none", "logger=none"),
        ],
    )
    metrics = train(cfg)
    assert "last_train_top1" not in metrics
    assert metrics["last_train_loss_epoch"] > 0


def test_training_starts_from_a_checkpoint_with_other_classes(
    compose_config, tmp_path, tiny, video_folder, checkpoint, capsys
):
    three = tmp_path / "classes.txt"
    three.write_text("dark\nlight\ndusk\n")
    cfg = compose_config(
        "train",
        [
            *tiny,
            "model=i3d_gc",
            "data=folder",
            f"data.root={video_folder}",
            "logger=none",
            f"data.classes={three}",
            "weights=checkpoint",
            f"weights.path={checkpoint}",
            f"output_dir={tmp_path / 'run'}",
            "train_only=blocks",
            "callbacks=none",
        ],
    )
    train(cfg)
    assert "2 fresh" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.block.ratio=0.0001"], r"smallest ratio that leaves one is 1/"),
        (["num_classes=5"], "num_classes is 5 but the data has 2 classes"),
        (["data.root=/no/such"], r"data\.root is '/no/such', which is no folder"),
        (["batch_size=64"], "batch_size is 64 but there are only 10 training videos"),
        (["model.placement.res4=[9]"], "res4 has no block 9: it has 6 blocks"),
        (["weights=checkpoint", "weights.path=/no/such.ckpt"], "no weights at '/no/such.ckpt'"),
    ],
)
def test_mistakes_of_the_user_end_in_one_message(
    compose_config, tmp_path, tiny, video_folder, overrides, message
):
    cfg = compose_config(
        "train",
        [
            *tiny,
            "model=i3d_gc",
            "data=folder",
            f"data.root={video_folder}",
            f"output_dir={tmp_path}",
            *overrides,
        ],
    )
    with pytest.raises(Exception) as caught:  # noqa: PT011 - Hydra wraps what it builds
        train(cfg)
    explanation = user_error(caught.value)
    assert explanation is not None
    assert re.search(message, explanation)


def test_an_unreadable_video_in_val_ends_the_run_and_is_named(
    compose_config, tmp_path, tiny, video_folder
):
    root = tmp_path / "videos"
    splits = annotated_videos(root=str(video_folder))
    for split, annotations in (("train", splits.train), ("val", splits.val)):
        for video in range(len(annotations)):
            link = root / split / annotations.paths[video]
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(annotations.path(video))
    broken = root / "val" / "dark" / "broken.mp4"
    broken.write_bytes(b"not a video")
    cfg = compose_config(
        "train",
        [
            *tiny,
            "model=c2d",
            "data=folder",
            f"data.root={root}",
            f"output_dir={tmp_path / 'run'}",
            "num_workers=1",
        ],
    )
    with pytest.raises(RuntimeError) as caught:
        train(cfg)
    explanation = user_error(caught.value)
    assert explanation is not None
    assert f"cannot read video '{broken}'" in explanation


def test_a_clip_longer_than_the_video_still_trains(compose_config, tmp_path, tiny, video_folder):
    cfg = compose_config(
        "train",
        [
            *tiny,
            "model=c2d",
            "data=folder",
            f"data.root={video_folder}",
            "logger=none",
            f"output_dir={tmp_path}",
            "num_frames=32",
            "sampling_rate=8",
            "callbacks=none",
        ],
    )
    assert 0 <= train(cfg)["last_val_top1"] <= 1
