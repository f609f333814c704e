"""The folder of a run where a checkpoint is asked for."""

import json
import re
import shlex
import shutil

import pytest

import gcvideo
from gcvideo.command import _testing as testing
from gcvideo.command._converting import convert
from gcvideo.command.predict._prediction import predict
from gcvideo.inference import CheckpointError, read_checkpoint
from gcvideo.weights import checkpoint_weights


@pytest.mark.parametrize("name", [".", "checkpoints"])
def test_a_folder_stands_for_its_best_checkpoint(trained, checkpoint, video_folder, name):
    video = video_folder / "dark" / "dark_0.mp4"
    by_folder, by_file = (gcvideo.load(path, device="cpu") for path in (trained / name, checkpoint))
    assert by_folder.source == by_file.source == str(checkpoint)
    assert by_folder.for_inference().source == str(checkpoint)
    assert by_folder.classify(video) == by_file.classify(video)


def test_commands_take_it_and_name_the_file(
    compose_config, trained, checkpoint, video_folder, tmp_path, capsys
):
    given = [f"checkpoint={trained}", "num_workers=0"]
    testing.test(
        compose_config(
            "test",
            [
                *given,
                "report=false",
                f"output_dir={tmp_path}",
                "trainer=cpu",
                "trainer.enable_progress_bar=false",
            ],
        )
    )
    assert json.loads((tmp_path / "results.json").read_text())["checkpoint"] == str(checkpoint)
    videos = [f"video={video_folder}/dark", f"output={tmp_path}/scores.jsonl", "device=cpu"]
    predict(compose_config("predict", [*given, *videos]))
    record = json.loads((tmp_path / "scores.jsonl.run.json").read_text())
    assert record["checkpoint"] == str(checkpoint)
    convert(compose_config("convert", [f"source={trained}", f"output={tmp_path}/a.safetensors"]))
    assert read_checkpoint(tmp_path / "a.safetensors").classes == ("dark", "light")
    printed = capsys.readouterr().out
    assert printed.count(f"checkpoint {checkpoint}\n") == 2
    assert f"{checkpoint} is a gcvideo checkpoint" in printed


def test_the_last_checkpoint_does_not_stand_in_for_the_best(trained, tmp_path):
    folder = tmp_path / "a (copy)" / "checkpoints"
    folder.mkdir(parents=True)
    shutil.copy(trained / "checkpoints" / "last.ckpt", folder)
    with pytest.raises(
        CheckpointError, match=r"has no best\.ckpt, only last\.ckpt; name"
    ) as caught:
        gcvideo.load(folder.parent)
    hint = re.search(r"such as (.*)", str(caught.value))[1]
    assert shlex.split(hint) == [f"checkpoint='{folder / 'last.ckpt'}'"]
    with pytest.raises(CheckpointError, match=r"such as .*weights\.path="):
        checkpoint_weights(str(folder.parent))


def test_a_folder_without_checkpoints_says_so(tmp_path, compose_config):
    with pytest.raises(CheckpointError, match="has no checkpoints; give the folder of a run"):
        gcvideo.load(tmp_path)
    words = [f"source={tmp_path}", f"output={tmp_path}/a.safetensors"]
    with pytest.raises(CheckpointError, match="has no checkpoints"):
        convert(compose_config("convert", words))
