import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from stopped_training import contents, resumed

from gcvideo import cli
from gcvideo.command import _application as application
from gcvideo.command.train._resuming import ResumeError
from gcvideo.command.train._run_folder import RunFolderError, discard_unbegun, new_folder
from gcvideo.command.train._training import train


def test_a_new_run_is_not_begun_among_the_checkpoints_of_an_old_one(run):
    before = contents(run)
    cfg = OmegaConf.load(run / "config.yaml")
    cfg.resume, cfg.output_dir = None, str(run)
    with pytest.raises(RunFolderError, match=r"already has a run \(best\.ckpt, last\.ckpt, prev"):
        train(cfg)
    assert contents(run) == before


def test_checkpoints_of_another_run_are_not_taken(run):
    config = OmegaConf.load(run / "config.yaml")
    config.run_id = "another"
    OmegaConf.save(config, run / "config.yaml")
    with pytest.raises(ResumeError, match="is of another run than"):
        train(resumed(f"resume={run}"))


@pytest.mark.slow
def test_two_processes_do_not_train_in_one_folder(run):
    code = f"""
import sys
from pathlib import Path
from gcvideo.command.train._run_folder import held
with held(Path({str(run)!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(RunFolderError, match=f"is in use by process {process.pid} on"):
            train(resumed(f"resume={run}"))
    finally:
        process.kill()
        process.communicate()
    train(resumed(f"resume={run}"))  # a killed process holds nothing


def test_starts_in_the_same_moment_have_folders_of_their_own(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(new_folder, [tmp_path / "runs" / "12-00-00"] * 8))
    names = ["12-00-00", *(f"12-00-00_{number}" for number in range(2, 9))]
    assert sorted(folder.name for folder in made) == sorted(names)


@pytest.mark.slow
def test_a_command_begins_in_a_folder_that_nobody_has(tmp_path, monkeypatch, video_folder, tiny):
    monkeypatch.chdir(tmp_path)
    default, told = application._default_folder, []

    def same_moment(read, key):
        told.append(default(read, key))
        return tmp_path / "runs" / "now"

    monkeypatch.setattr(application, "_default_folder", same_moment)
    words = [*tiny, "data=folder", f"data.root={video_folder}", "model=c2d"]
    (tmp_path / "runs" / "now").mkdir(parents=True)
    with pytest.raises(SystemExit):
        cli.main("train", [*words, "-m", "num_classes=5,6"])  # which the data does not have
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["now", "now_2"]
    assert (tmp_path / "runs" / "now_2" / "0" / ".hydra").is_dir()
    cli.main("train", words)
    assert (tmp_path / "runs" / "now_3" / ".hydra").is_dir()
    assert [folder.parent for folder in told] == [Path("runs/sweep"), Path("runs/folder_c2d")]


@pytest.mark.parametrize("mistake", ["num_classes=5", "batch_size=64"])
def test_a_start_that_fails_prints_one_message_and_leaves_no_folder(
    tmp_path, monkeypatch, video_folder, tiny, capsys, mistake
):
    monkeypatch.chdir(tmp_path)
    words = [*tiny, "data=folder", f"data.root={video_folder}", "model=c2d"]
    words = [word for word in words if word.partition("=")[0] != mistake.partition("=")[0]]
    with pytest.raises(SystemExit):
        cli.main("train", [*words, mistake])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {mistake.replace('=', ' is ')} but ")
    assert not list(tmp_path.glob("runs/*/*"))


def test_a_folder_with_anything_in_it_is_not_removed(tmp_path):
    kept = new_folder(tmp_path / "kept")
    (kept / "config.yaml").write_text("")
    told = new_folder(tmp_path / "told")
    (told / "train.log").write_text("a warning that is worth reading\n" * 500)
    for folder in (kept, told):
        discard_unbegun(folder)
        assert folder.is_dir()


@pytest.mark.slow
def test_a_folder_that_is_given_and_has_a_run_is_refused_before_anything_is_written(
    run, tiny, video_folder, capsys
):
    before = contents(run)
    words = [*tiny, "data=folder", f"data.root={video_folder}", f"hydra.run.dir={run}"]
    with pytest.raises(SystemExit):
        cli.main("train", words)
    assert "already has a run" in capsys.readouterr().err
    assert contents(run) == before
