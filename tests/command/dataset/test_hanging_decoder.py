"""A decoder that hangs costs its own video, and its process is killed."""

import csv
import os
import shutil
import signal
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from gcvideo._draft import draft_of
from gcvideo.cli import COMMANDS
from gcvideo.command.dataset import _checking as checking
from gcvideo.command.dataset import _indexing as indexing
from gcvideo.command.dataset import _reencoding as reencoding
from gcvideo.data import FrameIndex, VideoReadError

SECONDS = 1.0
REASON = "it was not read within its budget of 1 seconds, and its process was killed"


def hang(pids):
    """For ever, as code below Python does, which takes no signal that can be refused."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with pids.open("a") as file:
        file.write(f"{os.getpid()}\n")
    while True:
        pass


@pytest.fixture
def run(compose_config, video_folder, tmp_path, monkeypatch):
    """Runs a command on twelve videos, one of which hangs, and one is slow."""
    shutil.copytree(video_folder, tmp_path / "videos")

    def run(command, module, name, replacement):
        real = getattr(module, name)

        def replaced(*arguments, **settings):
            return replacement(real, *arguments, **settings)

        monkeypatch.setattr(module, name, replaced)
        # Copies of this process have what was replaced in it.
        monkeypatch.setattr("gcvideo.data._parallel._PROCESSES", get_context("fork"))
        key = "output_dir" if command == "check" else "output"
        words = ["data=folder", f"data.root={tmp_path}/videos", f"{key}={tmp_path}/out"]
        words += ["num_workers=2", f"time_budget_seconds={SECONDS}"]
        found = COMMANDS[command].find_job()(compose_config(command, words))
        (pid,) = (tmp_path / "pids").read_text().split()
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
        return found

    return run


def be_slow(progress):
    for _ in range(6):
        time.sleep(SECONDS / 4)
        progress()


@pytest.mark.slow
def test_check_names_the_video_and_waits_for_one_that_is_slow(run, tmp_path):
    def check_video(real, path, *, progress, **settings):
        if path.endswith("dark_1.mp4"):
            hang(tmp_path / "pids")
        if path.endswith("dark_2.mp4"):
            be_slow(progress)
        return real(path, progress=progress, **settings)

    report = run("check", checking, "check_video", check_video)
    found = {Path(path).stem: check for path, check in report.checks.items()}
    assert len(found) == 12
    assert [name for name, check in found.items() if check.status != "ok"] == ["dark_1"]
    assert (found["dark_1"].status, found["dark_1"].reason) == ("unreadable", REASON)


@pytest.mark.slow
def test_reencode_names_the_video_and_leaves_no_draft_of_it(run, tmp_path):
    def reencode_video(real, source, target, *, progress, **settings):
        if source.stem == "dark_1":
            target.parent.mkdir(parents=True, exist_ok=True)
            with draft_of(target, several_writers=True) as draft:
                draft.touch()
                hang(tmp_path / "pids")
        if source.stem == "dark_2":
            be_slow(progress)
        return real(source, target, progress=progress, **settings)

    report = run("reencode", reencoding, "reencode_video", reencode_video)
    ((path, reason),) = report.failures.items()
    assert path.endswith("dark_1.mp4")
    assert REASON in reason
    assert "raise time_budget_seconds" in reason
    with (tmp_path / "out" / "failed.csv").open(newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == [path]
    made = {file.name for file in (tmp_path / "out" / "dark").iterdir()}
    assert made == {f"dark_{number}.mp4" for number in (0, 2, 3, 4, 5)}


@pytest.mark.slow
def test_index_names_the_video(run, tmp_path, capsys):
    def index_video(real, path, file):
        if path.endswith("dark_1.mp4"):
            hang(tmp_path / "pids")
        return real(path, file)

    made = FrameIndex(run("index", indexing, "index_video", index_video))
    assert f"dark/dark_1.mp4: {REASON}" in " ".join(capsys.readouterr().out.split())
    assert len(made) == 12
    # A training tries it again, because the cause may have been the disk.
    file = str(tmp_path / "videos" / "dark" / "dark_1.mp4")
    assert made.find("dark/dark_1.mp4", file) is None


@pytest.mark.parametrize("num_workers", [0, 2])
def test_without_a_limit_there_is_none(compose_config, video_folder, monkeypatch, num_workers):
    seen = []

    def work_of(function, items, *, seconds, **_):
        seen.append((function.args[0].keywords["time_budget_seconds"], seconds))
        yield from ((i, VideoReadError("a", "b")) for i in range(len(items)))

    monkeypatch.setattr("gcvideo.command.dataset._work.parallel_map", work_of)
    monkeypatch.setenv("GCVIDEO_CACHE", "/nowhere")
    for limit in ("null", 60):
        words = ["data=folder", f"data.root={video_folder}", f"num_workers={num_workers}"]
        cfg = compose_config("reencode", [*words, f"time_budget_seconds={limit}", "output=out"])
        list(reencoding.work_through(print, {"a": ()}, "Copying", cfg))
    assert seen == [(None, None), (None if num_workers else 60, 60)]
