import json

import pytest
from gcvideo_runs import TINY
from hydra import compose

from gcvideo.command.configuration._composition import initialized
from gcvideo.command.train._training import train

pytestmark = pytest.mark.slow


@pytest.fixture
def many(benchmark, monkeypatch):
    module = benchmark("many_videos")
    monkeypatch.setattr(module, "_FIRST", 5)
    return module


@pytest.fixture(scope="module")
def small_checkpoint(tmp_path_factory, video_folder):
    words = [*TINY, "model=c2d", "data=folder", f"data.root={video_folder}", "logger=none"]
    folder = tmp_path_factory.mktemp("run")
    with initialized():
        train(compose("train", [*words, f"output_dir={folder}"]))
    return folder / "checkpoints" / "best.ckpt"


def test_results_are_compared_and_memory_is_watched(
    many, small_checkpoint, video_folder, tmp_path, monkeypatch, capsys
):
    path = tmp_path / "figures.json"
    words = [str(small_checkpoint), str(video_folder), "--videos", "30"]
    # So few videos are done while the memory of the process still settles.
    monkeypatch.setattr(many, "_MOST_GROWTH", 10**9)
    assert many.main([*words, "--kills", "1", "--rounds", "2", "--json", str(path)]) == 0
    (line,) = json.loads(path.read_text())
    assert line["note"] == "1 kills and 4 parts: the same bytes"
    assert "MB, growth " in capsys.readouterr().out


def test_other_results_after_a_kill_are_not_timed(
    many, small_checkpoint, video_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(many, "run_parts", lambda _, links, output: output.write_text("other"))
    words = [str(small_checkpoint), str(video_folder), "--videos", "30"]
    assert many.main([*words, "--kills", "0"]) == 1
    assert "the results of 'merged' are not those" in capsys.readouterr().err
