"""Names with brackets, which a console may take for markup, on the screens of all commands."""

import shutil

import pytest

from gcvideo import run
from gcvideo.run.checking import check
from gcvideo.run.comparing import compare

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
    run.predict(compose_config("predict", given))
    printed = capsys.readouterr().out
    assert f"{root}/light/{NAME} " in printed  # in the table
    assert f"'{root}/dark/{NAME}'" in printed  # among the failures


def test_a_test_names_its_checkpoint_and_its_folder_whole(
    compose_config, root, brackets, tmp_path, capsys
):
    (root / "dark" / NAME).unlink()
    out = tmp_path / "out[2]"
    given = [f"checkpoint='{brackets}'", f"output_dir='{out}'", "trainer=cpu", "num_workers=0"]
    given += ["data=folder", f"data.root='{root}'", "trainer.enable_progress_bar=false"]
    run.test(compose_config("test", given))
    printed = capsys.readouterr().out
    assert f"checkpoint {brackets}\n" in printed
    assert f"results in {out}\n" in printed


def test_a_training_names_videos_and_folder_whole(compose_config, root, tiny, tmp_path, capsys):
    out = tmp_path / "out[2]"
    (root / "dark" / NAME).rename(root / "dark" / "dark_0.mp4")
    listed = tmp_path / "val.txt"
    listed.write_text("dark/dark_1.mp4 0\nlight/light_1.mp4 1\n")
    (root / "dark" / "dark_0.mp4").rename(root / "dark" / NAME)
    given = [*tiny, "model=c2d", "data=folder", f"data.root='{root}'", f"data.val='{listed}'"]
    given += [f"data.train='{root}'", "data.max_bad_fraction=0.5", f"output_dir='{out}'"]
    run.train(compose_config("train", given))
    printed = capsys.readouterr().out
    assert f"folder     {out}\n" in printed
    assert f"best checkpoint              {out}/checkpoints/best.ckpt" in printed
    assert f"{root}/dark/{NAME}" in printed


def test_a_check_names_videos_and_folder_whole(compose_config, root, capsys):
    check(compose_config("check", ["data=folder", f"data.root='{root}'", "num_workers=0"]))
    assert f"unreadable  dark/{NAME}: " in capsys.readouterr().out


def test_a_comparison_names_its_folder_whole(project, root, tiny, tmp_path, capsys):
    (root / "dark" / NAME).unlink()
    out = tmp_path / "out[2]"
    words = ["model=c2d", "block=none", "data=folder", f"data.root='{root}'", "num_threads=1"]
    words += [*tiny, "trainer.limit_train_batches=1", "callbacks=none", f"folder={out}"]
    compare(project / "conf", words)
    printed = capsys.readouterr().out
    assert f"0 of 1 cells are finished; {out}\n" in printed
    assert f"report in {out}/report.html" in printed
