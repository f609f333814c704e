import csv
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from gcvideo.command import _run_report as run_report
from gcvideo.command import _testing as testing
from gcvideo.command.configuration._value_rule import RULES
from gcvideo.command.train._training import train
from gcvideo.evaluation import VideoScores


def run_test(compose_config, folder, checkpoint, *overrides):
    given = [f"checkpoint={checkpoint}", f"output_dir={folder}", "trainer=cpu", "num_workers=0"]
    cfg = compose_config("test", [*given, "trainer.enable_progress_bar=false", *overrides])
    testing.test(cfg)
    return json.loads((folder / "results.json").read_text())


@pytest.mark.slow
def test_a_test_leaves_a_report_of_its_scores(
    compose_config, tmp_path, checkpoint, video_folder, capsys
):
    words = ["data=folder", f"data.root={video_folder}", f"data.test={video_folder}", "figures=[]"]
    results = run_test(compose_config, tmp_path, checkpoint, *words)
    page = (tmp_path / "report.html").read_text()
    assert f"<dd>{results['metrics']['test/top1']:.4f}</dd>" in page
    assert "<dt>chance top-1</dt><dd>0.5000</dd>" in page
    assert "<dd>12 of 12 scored</dd>" in page
    with (tmp_path / "scores.csv").open() as file:
        rows = [(row["label"], row["prediction"]) for row in csv.DictReader(file)]
    with (tmp_path / "report" / "confusion.csv").open() as file:
        for row in csv.DictReader(file):
            for answer in ("dark", "light"):
                assert int(row[answer]) == rows.count((row["true class"], answer))
    error = results["calibration"]["expected_calibration_error"]
    assert f"<dt>expected calibration error</dt><dd>{error:.4f}</dd>" in page
    assert f"report in {tmp_path / 'report.html'}" in capsys.readouterr().out.replace("\n", "")
    assert str(checkpoint) in page
    recipe = page.split("<summary>config.yaml</summary>")[1]
    assert "batch_size: 1" in recipe
    assert "\noutput_dir:" not in recipe


def test_without_report_there_is_none_but_the_calibration(compose_config, tmp_path, checkpoint):
    results = run_test(compose_config, tmp_path, checkpoint, "report=false")
    assert 0 <= results["calibration"]["expected_calibration_error"] <= 1
    assert not (tmp_path / "report.html").exists()
    assert not (tmp_path / "report").exists()


@pytest.mark.slow
def test_a_training_leaves_a_report_of_its_last_validation(
    compose_config, tiny, tmp_path, video_folder
):
    videos = shutil.copytree(video_folder, tmp_path / "videos")
    (videos / "dark" / "dark_0.mp4").write_bytes(b"")
    words = ["model=c2d", "data=folder", f"data.root={videos}", "epochs=3", "report=true"]
    words += [f"data.val={video_folder}", "data.max_bad_fraction=0.5", "figures=[pdf]"]
    words += [f"output_dir={tmp_path / 'run'}", "trainer.check_val_every_n_epoch=2"]
    metrics = train(compose_config("train", [*tiny, *words]))
    folder = tmp_path / "run"
    page = (folder / "report.html").read_text()
    with (folder / "report" / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row["videos"]) for row in rows) == 12
    right = sum(int(row["right"]) for row in rows)
    assert right / 12 == pytest.approx(metrics["last_val_top1"])
    assert "1 training videos were unreadable" in page
    assert "<h2>Learning curves</h2>" in page
    names = {path.name for path in (folder / "report").glob("*.pdf")}
    assert names == {"loss.pdf", "top1.pdf", "confusion.pdf", "reliability.pdf"}
    shown, others = images(folder / "tensorboard")
    assert {"val/confusion", "val/reliability"} <= shown.keys()
    assert "val/top1" in others


def images(folder):
    """Names of pictures in event files, and values of a scalar."""
    events = [
        value
        for file in sorted(folder.glob("events*"))
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
    ]
    is_image = [v for v in events if v.metadata.plugin_data.plugin_name == "images"]
    shown = {}
    for value in is_image:
        pixels = Image.open(io.BytesIO(value.tensor.string_val[2]))
        shown[value.tag] = np.asarray(pixels)
    return shown, {value.tag for value in events} - shown.keys()


@pytest.mark.slow
def test_tensorboard_gets_confusion_and_galleries_of_a_test_and_its_metrics(
    compose_config, tmp_path, checkpoint, video_folder
):
    words = ["data=folder", f"data.root={video_folder}", f"data.test={video_folder}", "figures=[]"]
    run_test(compose_config, tmp_path, checkpoint, *words, "logger=tensorboard")
    shown, others = images(tmp_path / "tensorboard")
    assert {"test/confusion", "test/reliability", "test/worst_videos"} <= shown.keys()
    assert all(pixels.ndim == 3 for pixels in shown.values())
    assert "test/top1" in others
    assert not (tmp_path / "csv").exists()


def test_scores_that_are_no_numbers_are_told(
    compose_config, tmp_path, checkpoint, monkeypatch, capsys
):
    add = VideoScores.add
    monkeypatch.setattr(
        VideoScores,
        "add",
        lambda self, videos, labels, scores: add(self, videos, labels, scores * float("nan")),
    )
    results = run_test(compose_config, tmp_path, checkpoint, "figures=[]")
    assert results["calibration"] is None
    assert "2 of 2 videos have scores that are not finite" in capsys.readouterr().out
    assert "2 of 2 videos have scores that are not finite" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("checkpoint='runs/a/best.ckpt'", "checkpoint=runs/a/best.ckpt"),
        ("data.root='my videos'", "data.root='my videos'"),
        ("data.root='1'", "data.root='1'"),
        ("lr=0.5", "lr=0.5"),
    ],
)
def test_a_path_is_quoted_in_the_command_only_where_it_must_be(word, shown):
    assert run_report._unquoted(word) == shown


def test_the_home_folder_is_not_named(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert run_report._homely("/home/me/videos/a.txt") == "~/videos/a.txt"
    assert run_report._homely("/home/mega/a.txt") == "/home/mega/a.txt"
    assert run_report._homely("data/a.txt") == "data/a.txt"


@pytest.mark.parametrize("value", [["jpg"], "png", None, 3])
def test_formats_of_figures_are_those_of_a_list(value):
    assert not RULES["figures"].holds(value)
    assert RULES["figures"].holds(["png", "pdf"])
    assert RULES["figures"].holds([])
