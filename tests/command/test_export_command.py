import json
from importlib.util import find_spec

import pytest
import torch

import gcvideo
from gcvideo.command import _testing as testing
from gcvideo.command._exporting import export
from gcvideo.command.predict._prediction import predict
from gcvideo.command.predict._work import PredictionCount
from gcvideo.data import VideoReadError, read_views


@pytest.mark.slow
def test_a_trained_checkpoint_is_exported_with_its_crop_and_its_videos(
    compose_config, tmp_path, checkpoint, video_folder, capsys
):
    output = tmp_path / "new" / "net.pt2"
    given = [f"checkpoint={checkpoint}", f"output={output}", "crop_size=32"]
    videos = f"{video_folder}/dark/dark_[01].mp4"
    differences = export(compose_config("export", [*given, f"video='{videos}'"]))
    video = str(video_folder / "dark" / "dark_1.mp4")
    assert len(differences) == 6 + 2
    assert differences[video] < 1e-4
    printed = capsys.readouterr().out
    assert "random clips, batch of 3" in printed
    classifier = gcvideo.load(checkpoint, device="cpu")
    clips = read_views(video, classifier.protocol.single_view())
    extra_files = {"gcvideo.json": ""}
    program = torch.export.load(output, extra_files=extra_files).module()
    torch.testing.assert_close(program(clips)["scores"][0].detach(), classifier.scores(video))
    assert f'"checkpoint": "{checkpoint}"' in extra_files["gcvideo.json"]
    assert [path.name for path in output.parent.iterdir()] == ["net.pt2"]


def test_an_unreadable_video_ends_the_export_without_a_file(compose_config, tmp_path, checkpoint):
    (tmp_path / "broken.mp4").write_bytes(b"")
    given = [f"checkpoint={checkpoint}", f"output={tmp_path}/net.pt2"]
    with pytest.raises(VideoReadError, match="the file is empty"):
        export(compose_config("export", [*given, f"video={tmp_path}/broken.mp4"]))
    assert [path.name for path in tmp_path.iterdir()] == ["broken.mp4"]


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("nncf"), reason="needs openvino and nncf")
def test_a_net_in_int8_is_calibrated_by_the_training_list_and_tested_like_a_checkpoint(
    compose_config, tmp_path, checkpoint, video_folder, capsys
):
    output = tmp_path / "net.xml"
    given = [f"checkpoint={checkpoint}", f"output={output}", "precision=int8"]
    export(compose_config("export", [*given, "calibration_clips=6"]))
    printed = capsys.readouterr().out
    record = gcvideo.load(output).engine_model.record
    assert (record["calibration_clips"], record["measured_clips"]) == (5, 1)
    assert f"products, in float {record['products_in_float'][0]}" in printed
    assert "on 1 training clips that did not calibrate" in printed
    results = {}
    for name, words in {
        "float32": [f"checkpoint={checkpoint}", "engine=openvino"],
        "int8": [f"checkpoint={output}"],
    }.items():
        folder = tmp_path / name
        views = [
            "report=false",
            "num_clips=1",
            "num_crops=1",
            "crop_size=32",
            "trainer=cpu",
            "num_workers=0",
        ]
        metrics = testing.test(compose_config("test", [*words, *views, f"output_dir={folder}"]))
        results[name] = json.loads((folder / "results.json").read_text())
        assert results[name]["precision"] == name
        assert results[name]["engine"] == "openvino"
        assert metrics["test/top1"] == results[name]["metrics"]["test/top1"]
    predicted = predict(
        compose_config("predict", [f"checkpoint={output}", f"video='{video_folder}/dark/*'"])
    )
    assert predicted == PredictionCount(len(list((video_folder / "dark").iterdir())), 0)
    words = [f"checkpoint={output}", f"video={video_folder}/dark", "engine=onnxruntime"]
    with pytest.raises(ValueError, match="made for openvino in int8 already; load"):
        predict(compose_config("predict", words))


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_int8_without_a_calibrated_net_is_refused_with_the_remedy(
    compose_config, tmp_path, checkpoint, video_folder, engine
):
    words = [f"checkpoint={checkpoint}", f"engine={engine}", "precision=int8"]
    remedy = r"`gcvideo export CHECKPOINT NAME\.xml precision=int8`"
    with pytest.raises(ValueError, match=remedy):
        predict(compose_config("predict", [*words, f"video={video_folder}/dark"]))
    with pytest.raises(ValueError, match=remedy):
        testing.test(compose_config("test", [*words, "trainer=cpu", f"output_dir={tmp_path}"]))
