import os
import shutil

import pytest

from gcvideo.command.configuration._composition import OverrideError, check_overrides
from gcvideo.command.dataset import _indexing as indexing
from gcvideo.command.dataset._indexing import index
from gcvideo.data import FrameIndex, VideoReadError, index_path, probe
from gcvideo.data.video import _frame_index as frame_index


@pytest.fixture
def videos(video_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GCVIDEO_CACHE", str(tmp_path / "cache"))
    return shutil.copytree(video_folder, tmp_path / "videos")


@pytest.fixture
def run_index(compose_config, videos):
    def run(*overrides):
        given = ["data=folder", f"data.root={videos}", "num_workers=0", *overrides]
        return FrameIndex(index(compose_config("index", given)))

    return run


@pytest.fixture
def opened(monkeypatch):
    """Listed paths of the videos that are opened."""
    paths = []

    def watched(path, file):
        paths.append(path)
        return frame_index.index_video(path, file)

    monkeypatch.setattr(indexing, "index_video", watched)
    return paths


def test_the_index_of_a_folder_is_found_again_by_its_root(run_index, videos):
    made = run_index()
    assert made.path == index_path(videos)
    assert len(made) == 12
    found = FrameIndex.of_root(videos)
    assert found is not None
    timeline = found.find("dark/dark_3.mp4", str(videos / "dark/dark_3.mp4"))
    assert timeline is not None
    assert timeline.info == probe(videos / "dark/dark_3.mp4")


@pytest.mark.slow
def test_processes_make_the_same_index(run_index, tmp_path):
    alone = run_index(f"output={tmp_path / 'alone'}")
    run_index(f"output={tmp_path / 'shared'}", "num_workers=2")
    assert alone.path.read_bytes() == (tmp_path / "shared").read_bytes()


def test_only_what_changed_is_opened_again(run_index, videos, opened, capsys):
    run_index()
    assert len(opened) == 12
    opened.clear()
    changed = videos / "light/light_1.mp4"
    os.utime(changed, (1, 1))
    made = run_index()
    assert opened == ["light/light_1.mp4"]
    assert made.is_current("light/light_1.mp4", str(changed))
    assert "12 videos, 11 of them already known" in capsys.readouterr().out


def test_an_interrupted_run_keeps_what_it_has(run_index, opened, monkeypatch):
    def interrupted(path, file):
        if len(opened) == 5:
            raise KeyboardInterrupt
        opened.append(path)
        return frame_index.index_video(path, file)

    monkeypatch.setattr(indexing, "index_video", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_index()
    first = list(opened)
    monkeypatch.setattr(indexing, "_SECONDS_BETWEEN_WRITES", 0.0)
    opened.append("-")
    assert len(run_index()) == 12
    assert {*first} & {*opened[6:]} == set()
    assert len(opened) == 13


def test_unreadable_videos_are_named_and_tried_again(run_index, videos, capsys):
    broken = videos / "dark/dark_0.mp4"
    whole = broken.read_bytes()
    broken.write_bytes(b"")
    made = run_index()
    assert "1 cannot be read" in (printed := capsys.readouterr().out)
    assert "dark/dark_0.mp4: the file is empty" in printed
    with pytest.raises(VideoReadError, match="the file is empty"):
        made.find("dark/dark_0.mp4", str(broken))
    broken.write_bytes(whole)
    assert run_index().find("dark/dark_0.mp4", str(broken)) is not None


def test_a_video_that_hangs_is_named(run_index, monkeypatch, capsys):
    def hanging(path, file):
        if path == "dark/dark_1.mp4":
            os.read(os.pipe()[0], 1)
        return frame_index.index_video(path, file)

    monkeypatch.setattr(indexing, "index_video", hanging)
    run_index("time_budget_seconds=0.5")
    assert "dark/dark_1.mp4: it was not read within its budget of 0.5 s" in capsys.readouterr().out


def test_a_damaged_index_is_made_anew(run_index, videos, capsys):
    index_path(videos).parent.mkdir(parents=True)
    index_path(videos).write_bytes(b"torn")
    with pytest.warns(UserWarning, match="not a complete safetensors file"):
        assert len(run_index()) == 12
    assert "a new one is made" in capsys.readouterr().out


def test_the_data_must_be_chosen(project):
    with pytest.raises(OverrideError, match=r"You must specify 'data', .*"):
        check_overrides("index", [])
    with pytest.raises(OverrideError, match=r"'daat' is not a key of this .*: did you mean data"):
        check_overrides("index", ["daat=folder"])


def test_an_index_that_cannot_be_written_is_told_before_any_video_is_opened(
    compose_config, video_folder, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GCVIDEO_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(indexing, "work_through", None)
    with pytest.raises(
        ValueError, match=r"file/index/\w+\.safetensors' cannot be written: .*GCVIDEO_CACHE="
    ):
        index(compose_config("index", ["data=folder", f"data.root={video_folder}"]))
