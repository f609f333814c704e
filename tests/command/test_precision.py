import csv
import json
from pathlib import Path

import pytest
import torch
from gcvideo_runs import TINY
from omegaconf import OmegaConf
from predicted import record_of, rows_of

import gcvideo
from gcvideo.command import _testing as testing
from gcvideo.command._probing import probe
from gcvideo.command.attention._show import attention_show
from gcvideo.command.attention._stats import attention_stats
from gcvideo.command.predict._prediction import predict
from gcvideo.command.train._training import train
from gcvideo.training import VideoClassifier

ONE_VIEW = ["num_clips=1", "num_crops=1", "num_workers=0"]


@pytest.fixture
def scored(monkeypatch):
    """Scores by index of the video that validations and tests come to, the latest ones."""
    seen = {}
    score = VideoClassifier._score

    def watched(self, batch):
        found = score(self, batch)
        seen.update(zip(batch["video"].tolist(), found[0].tolist(), strict=True))
        return found

    monkeypatch.setattr(VideoClassifier, "_score", watched)
    return seen


def scores_of(path):
    with path.open() as file:
        return {
            row["video"]: [float(row["dark"]), float(row["light"])] for row in csv.DictReader(file)
        }


@pytest.mark.slow
@pytest.mark.parametrize("has_bf16", [False, True])
def test_validation_test_probe_prediction_and_classification_of_a_view_agree_on_any_processor(
    compose_config, tmp_path, video_folder, monkeypatch, scored, has_bf16, capsys
):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has_bf16)
    data = ["data=folder", f"data.root={video_folder}"]
    cfg = compose_config(
        "train",
        [*TINY, "model=i3d_gc", *data, "trainer.precision=auto", f"output_dir={tmp_path}/train"],
    )
    train(cfg)
    trained_in = "bf16-mixed" if has_bf16 else "32-true"
    assert json.loads((tmp_path / "train/results.json").read_text())["precision"] == {
        "training": trained_in,
        "validation": "float32",
    }
    printed = capsys.readouterr().out
    assert f"precision {trained_in}\nvalidation of single views, precision float32" in printed
    validated = dict(scored)

    checkpoint = f"checkpoint={tmp_path}/train/checkpoints/last.ckpt"
    words = [checkpoint, *ONE_VIEW, f"output_dir={tmp_path}/test", "trainer=cpu", "report=false"]
    testing.test(compose_config("test", [*words, "trainer.enable_progress_bar=false"]))
    words = [checkpoint, *ONE_VIEW, f"output_dir={tmp_path}/probe", "device=cpu"]
    probe(compose_config("probe", words))
    tested = scores_of(tmp_path / "test/scores.csv")
    probed = scores_of(tmp_path / "probe/scores_ordered.csv")
    output = tmp_path / "predictions.jsonl"
    words = [checkpoint, f"video='{video_folder}'", f"output={output}", "num_workers=0"]
    predict(compose_config("predict", [*words, "device=cpu"]))
    predicted = rows_of(output)
    clf = gcvideo.load(tmp_path / "train/checkpoints/last.ckpt", device="cpu")
    for folder in ("test", "probe"):
        assert (
            json.loads((tmp_path / folder / "results.json").read_text())["precision"] == "float32"
        )
    assert record_of(output)["made_by"]["precision"] == "float32"
    assert capsys.readouterr().out.count("precision  float32\n") == 3

    assert len(tested) == len(validated) == 2
    for index, video in enumerate(tested):
        expected = clf.scores(video).tolist()
        ranking = {entry["label"]: entry["score"] for entry in predicted[video]["classes"]}
        # Tables have six decimals.
        for found in (validated[index], tested[video], probed[video], [ranking[0], ranking[1]]):
            assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_another_precision_is_had_on_request_and_said(compose_config, tmp_path, checkpoint, capsys):
    found = {}
    for name in ("float32", "bfloat16"):
        words = [f"checkpoint={checkpoint}", *ONE_VIEW, f"precision={name}"]
        for command, run_it in (("test", testing.test), ("probe", probe)):
            folder = tmp_path / command / name
            device = ["trainer=cpu", "report=false", "trainer.enable_progress_bar=false"]
            given = device if command == "test" else ["device=cpu"]
            run_it(compose_config(command, [*words, *given, f"output_dir={folder}"]))
            assert json.loads((folder / "results.json").read_text())["precision"] == name
        found[name] = scores_of(tmp_path / "test" / name / "scores.csv")
        probed = scores_of(tmp_path / "probe" / name / "scores_ordered.csv")
        for video, scores in found[name].items():
            assert probed[video] == pytest.approx(scores, abs=1e-6)
        assert capsys.readouterr().out.count(f"precision  {name}\n") == 2
    for video in found["float32"]:
        words = [f"checkpoint={checkpoint}", f"video='{video}'", "precision=bfloat16", "device=cpu"]
        output = tmp_path / f"{Path(video).name}.jsonl"
        predict(compose_config("predict", [*words, f"output={output}"]))
        (row,) = rows_of(output).values()
        scores = [found["score"] for found in sorted(row["classes"], key=lambda c: c["label"])]
        assert scores == pytest.approx(found["float32"][video], abs=0.02)
        assert scores != pytest.approx(found["float32"][video], abs=1e-6)
    assert "precision  bfloat16\n" in capsys.readouterr().out
    assert found["float32"] != found["bfloat16"]
    clf = gcvideo.load(checkpoint, device="cpu")
    clf.dtype = torch.bfloat16
    for video, scores in found["bfloat16"].items():
        assert scores == pytest.approx(clf.scores(video).tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("command", "words", "call"),
    [
        ("test", [], testing.test),
        ("probe", [], probe),
        ("predict", ["video={video}"], predict),
        ("attention_stats", [], attention_stats),
        ("attention_show", ["video={video}"], attention_show),
    ],
)
def test_an_unknown_precision_is_refused(
    compose_config, tmp_path, checkpoint, video_folder, command, words, call
):
    video = video_folder / "dark" / "dark_0.mp4"
    given = [f"checkpoint={checkpoint}", *(word.format(video=video) for word in words)]
    cfg = compose_config(command, [*given, "precision=half"])
    OmegaConf.update(cfg, "output_dir", str(tmp_path), force_add=True)
    with pytest.raises(
        ValueError, match="precision is 'half'; choose one of float32, bfloat16, fl"
    ):
        call(cfg)


def test_the_precision_of_a_trainer_is_no_key_of_a_test(compose_config, tmp_path, checkpoint):
    words = [f"checkpoint={checkpoint}", f"output_dir={tmp_path}", "trainer.precision=bf16-mixed"]
    with pytest.raises(
        ValueError, match=r"trainer.precision is 'bf16-mixed', which is for training"
    ):
        testing.test(compose_config("test", words))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*bf16-true.*")
def test_a_validation_follows_a_trainer_that_changes_the_weights_and_says_so(
    compose_config, tmp_path, video_folder, capsys
):
    words = [*TINY, "model=i3d_gc", "data=folder", f"data.root={video_folder}"]
    words += ["trainer.precision=bf16-true", f"output_dir={tmp_path}"]
    train(compose_config("train", words))
    printed = capsys.readouterr().out
    assert (
        "validation of single views, precision bf16-true\nwarning: trainer.precision is" in printed
    )
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["precision"]["validation"] == "bf16-true"
