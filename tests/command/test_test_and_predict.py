import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hydra.utils import instantiate
from predicted import rows_of
from rank_job import end, launch

import gcvideo
from gcvideo.command import _testing as testing
from gcvideo.command._checkpoint_data import checkpoint_protocol
from gcvideo.command.predict._prediction import predict
from gcvideo.command.predict._work import PredictionCount
from gcvideo.inference._checkpoint import read_checkpoint


def run_test(compose_config, folder, checkpoint, *overrides):
    given = [f"checkpoint={checkpoint}", f"output_dir={folder}", "trainer=cpu", "num_workers=0"]
    given += ["trainer.enable_progress_bar=false", "report=false"]
    cfg = compose_config("test", [*given, *overrides])
    metrics = testing.test(cfg)
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
        ValueError, match=r"the checkpoint has 2 classes .dark, light., but the data has 3"
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
    cfg = compose_config("predict", [*given, f"output={tmp_path / 'out.jsonl'}"])
    assert predict(cfg) == PredictionCount(3, 1)
    written = rows_of(tmp_path / "out.jsonl")
    assert [Path(video).name for video in written] == ["broken.mp4", "dark_0.mp4", "light_0.mp4"]
    assert "broken.mp4" in written[str(tmp_path / "broken.mp4")]["error"]
    assert len(written[str(tmp_path / "dark_0.mp4")]["classes"]) == 1
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
        assert predict(cfg) == PredictionCount(count, 0)
    cfg = compose_config("predict", [f"checkpoint={checkpoint}", "video=/no/such/*.mp4"])
    with pytest.raises(FileNotFoundError, match="no video at '/no/such/"):
        predict(cfg)


def test_an_output_of_another_kind_is_refused(compose_config, checkpoint):
    cfg = compose_config("predict", [f"checkpoint={checkpoint}", "video=x.mp4", "output=table.txt"])
    with pytest.raises(ValueError, match=r"output is 'table\.txt'; give a file ending in"):
        predict(cfg)


@pytest.mark.parametrize("trained_square", [False, True])
@pytest.mark.parametrize("words", [[], ["protocol=mmaction"]])
def test_a_test_follows_the_training_in_the_shape_of_pixels(
    compose_config, checkpoint, video_folder, trained_square, words
):
    known = read_checkpoint(checkpoint)
    # What was trained before there was a choice does not name it.
    protocol = {k: v for k, v in known.protocol.items() if k != "square_pixels"}
    if trained_square:
        protocol["square_pixels"] = True
    known = replace(known, protocol=protocol)
    given = [f"checkpoint={checkpoint}", *words]
    assert checkpoint_protocol(compose_config("test", given), known).square_pixels == trained_square
    given += ["data=folder", f"data.root={video_folder}"]
    assert checkpoint_protocol(compose_config("test", given), known).square_pixels == trained_square
    given.append("data.square_pixels=true")
    assert checkpoint_protocol(compose_config("test", given), known).square_pixels


@pytest.mark.parametrize("learned", ["constants", "motion"])
@pytest.mark.parametrize("words", [[], ["protocol=mmaction"], ["protocol=even"]])
def test_a_test_by_another_protocol_keeps_the_normalization_of_the_training(
    compose_config, checkpoint, words, learned
):
    known = read_checkpoint(checkpoint)
    known = replace(known, protocol={**known.protocol, "normalization": learned})
    protocol = checkpoint_protocol(
        compose_config("test", [f"checkpoint={checkpoint}", *words]), known
    )
    assert protocol.normalization == learned
    for told in ("constants", "motion"):
        other = replace(protocol, normalization=told)
        assert known.build_model(other).normalization == learned


def test_a_training_writes_the_shape_of_pixels_into_its_protocol(compose_config, video_folder):
    given = ["data=folder", f"data.root={video_folder}"]
    for words, square in (([], False), (["data.square_pixels=true"], True)):
        cfg = compose_config("train", [*given, *words])
        assert instantiate(cfg.protocol, _convert_="all").square_pixels == square
        assert instantiate(cfg.data, _convert_="all").square_pixels == square


@pytest.mark.slow
def test_a_prediction_as_a_script_fails_for_the_file_that_it_cannot_read_alone(
    tmp_path, checkpoint, video_folder
):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"")
    videos = [str(video_folder / "dark" / "dark_0.mp4"), str(broken)]
    job = launch(str(checkpoint), *videos, "device=cpu", script="predict")
    ((status, printed),) = end(job)
    assert status == 1
    assert "dark" in printed.partition("dark_0.mp4")[2]
    assert "the file is empty" in printed
