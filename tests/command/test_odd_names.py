"""Odd names of files and folders, on the screens of all commands and in what is to be pasted."""

import re
import shlex
import shutil
from types import SimpleNamespace

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate

from gcvideo._hint import override
from gcvideo.command import _testing as testing
from gcvideo.command.compare._comparing import compare
from gcvideo.command.dataset._checking import check
from gcvideo.command.dataset._reencoding import reencode
from gcvideo.command.predict._prediction import predict
from gcvideo.command.train._training import train
from gcvideo.data import annotated_videos
from gcvideo.inference import CheckpointError, read_checkpoint
from gcvideo.training import ProgressCheckpoint, TrainingStopped

NAME = "a[b]c.mp4"


@pytest.fixture
def root(tmp_path, video_folder, monkeypatch):
    """A folder "x[y]z" of videos, and one of them that cannot be read."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "x[y]z"
    shutil.copytree(video_folder, root)
    (root / "dark" / NAME).write_bytes(b"nothing")
    return root


@pytest.fixture
def brackets(checkpoint, tmp_path):
    folder = tmp_path / "run[1]"
    folder.mkdir()
    return shutil.copy(checkpoint, folder / "best.ckpt")


def test_a_prediction_names_videos_whole(compose_config, root, brackets, capsys):
    shutil.copy(root / "light" / "light_0.mp4", root / "light" / NAME)
    given = [f"checkpoint='{brackets}'", f"video='{root}'", "device=cpu", "num_workers=0"]
    predict(compose_config("predict", given))
    printed = capsys.readouterr().out
    assert f"{root}/light/{NAME}\n" in printed
    assert f"'{root}/dark/{NAME}'" in printed  # among the failures


def test_a_test_names_its_checkpoint_and_its_folder_whole(
    compose_config, root, brackets, tmp_path, capsys
):
    (root / "dark" / NAME).unlink()
    out = tmp_path / "out[2]"
    given = [f"checkpoint='{brackets}'", f"output_dir='{out}'", "trainer=cpu", "num_workers=0"]
    given += [
        "data=folder",
        f"data.root='{root}'",
        "trainer.enable_progress_bar=false",
        "figures=[]",
    ]
    testing.test(compose_config("test", given))
    printed = capsys.readouterr().out
    assert f"checkpoint {brackets}\n" in printed
    assert f"results in {out}\n" in printed


@pytest.mark.slow
def test_a_training_names_videos_and_folder_whole(compose_config, root, tiny, tmp_path, capsys):
    out = tmp_path / "out[2]"
    (root / "dark" / NAME).rename(root / "dark" / "dark_0.mp4")
    listed = tmp_path / "val.txt"
    listed.write_text("dark/dark_1.mp4 0\nlight/light_1.mp4 1\n")
    (root / "dark" / "dark_0.mp4").rename(root / "dark" / NAME)
    given = [*tiny, "model=c2d", "data=folder", f"data.root='{root}'", f"data.val='{listed}'"]
    given += [f"data.train='{root}'", "data.max_bad_fraction=0.5", f"output_dir='{out}'"]
    with pytest.warns(UserWarning, match="2 of 2 videos of val are training videos too"):
        train(compose_config("train", given))
    printed = capsys.readouterr().out
    assert f"folder     {out}\n" in printed
    assert printed.count(f"folder     {out}\n") == 2
    assert f"{root}/dark/{NAME}" in printed


def test_a_check_names_videos_and_folder_whole(compose_config, root, capsys):
    check(compose_config("check", ["data=folder", f"data.root='{root}'", "num_workers=0"]))
    assert f"unreadable  dark/{NAME}: " in capsys.readouterr().out


def pasted(line):
    """What the words of a hint set, once a shell has taken them apart."""
    parsed = OverridesParser.create().parse_overrides(shlex.split(line))
    return {override.key_or_group: override.value() for override in parsed}


def test_the_lists_of_a_check_can_be_pasted(compose_config, root, tmp_path, capsys):
    out = tmp_path / "it's [1] (a=b, c)"
    words = ["data=folder", override("data.root", root), override("output_dir", out)]
    check(compose_config("check", [*words, "num_workers=0"]))
    hint = capsys.readouterr().out.rpartition("lists without them: ")[2]
    named = pasted(hint)
    assert named == {
        **{f"data.{name}": str(out / f"{name}.txt") for name in ("train", "val")},
        "data.classes": str(out / "classes.txt"),
    }
    cfg = compose_config("check", [*words, *shlex.split(hint)])
    assert len(instantiate(cfg.data).train) == 10


def test_the_folder_of_new_copies_can_be_pasted(compose_config, root, tmp_path, capsys):
    (root / "dark" / NAME).unlink()
    out = tmp_path / "it's [1] (a=b, c)"
    words = ["data=folder", override("data.root", root), override("output", out)]
    reencode(compose_config("reencode", [*words, "num_workers=0", "short_side=32"]))
    named = pasted(capsys.readouterr().out.rpartition("use: ")[2])
    assert named["data.root"] == str(out)
    assert len(annotated_videos(**{k[5:]: v for k, v in named.items() if k != "data"}).train) == 10


@pytest.mark.usefixtures("unchecked")
def test_a_stopped_training_says_how_it_goes_on(tmp_path):
    folder = tmp_path / "it's [1] (a=b, c)"
    checkpoint = ProgressCheckpoint(str(folder / "checkpoints"))
    with pytest.raises(TrainingStopped) as caught:
        checkpoint._raise_stopped(SimpleNamespace(global_step=3, current_epoch=0))
    hint = str(caught.value).rpartition("gcvideo train ")[2]
    assert pasted(hint) == {"resume": str(folder)}


def test_weights_of_others_say_how_they_are_converted(tmp_path):
    file = tmp_path / "it's [1].pt"
    torch.save({"weight": torch.zeros(1)}, file)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(file)
    source, weights = re.findall(r"`(?:gcvideo convert )?(.*?)`", str(caught.value))
    assert pasted(source)["source"] == pasted(weights)["weights.path"] == str(file)


@pytest.mark.slow
def test_a_comparison_may_lie_in_a_folder_of_any_name(root, tiny, tmp_path, capsys):
    (root / "dark" / NAME).unlink()
    out = tmp_path / "it's [1] (a=b, c)"
    words = ["model=c2d", "block=none", "data=folder", override("data.root", root)]
    words += [*tiny, "trainer.limit_train_batches=1", "callbacks=none", "num_threads=1"]
    comparison = compare([*words, override("folder", out)])
    assert not comparison.missing
    assert (out / "cells" / "none" / "seed0" / "cell.json").is_file()
    printed = capsys.readouterr().out
    assert f"0 of 1 cells are finished; {out}\n" in printed
    assert f"report in {out}/report.html" in printed
