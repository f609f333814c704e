import json

import pytest
import torch

OPTIONS = ["--model", "slow_gc width=4", "--rounds", "1", "--videos", "2"]
CASE = "2 videos, slow_gc width=4, {}"
pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture
def throughput(benchmark, monkeypatch):
    module = benchmark("throughput")
    monkeypatch.setattr(module, "best_precision", lambda _: "32-true")
    monkeypatch.setattr(module, "keep_freed_memory", lambda: True)  # which cannot be undone
    return module


def test_each_form_is_timed_against_the_loops_after_its_scores_were_compared(
    throughput, video_folder, tmp_path, capsys
):
    path = tmp_path / "figures.json"
    forms = ["torch,float32", "torch,bfloat16"]
    options = [*OPTIONS, "--forms", *forms, "--json", str(path)]
    assert throughput.main([str(video_folder), *options]) == 0
    left_out, timed = json.loads(path.read_text())
    assert (timed["case"], timed["reference"]) == (CASE.format(forms[0]), throughput.LOOPS[0])
    assert timed["ratio"] == pytest.approx(timed["theirs"] / timed["ours"])
    assert left_out["case"] == CASE.format(forms[1])
    assert left_out["note"] == "left out: bfloat16 is emulated on this processor"
    assert "MiB" not in capsys.readouterr().out


def test_other_scores_than_those_of_the_loop_are_not_timed(
    throughput, video_folder, tmp_path, monkeypatch, capsys
):
    path = tmp_path / "figures.json"
    monkeypatch.setattr(throughput, "classify", lambda _, videos: torch.rand(len(videos), 400))
    options = [*OPTIONS, "--forms", "torch,float32", "--json", str(path)]
    assert throughput.main([str(video_folder), *options]) == 1
    assert "torch,float32: results differ by" in capsys.readouterr().err
    assert not path.exists()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["plain loop, float32", "torch,float32"])
def test_the_memory_of_a_form_is_that_of_its_work(throughput, video_folder, form):
    videos = throughput.find_videos(video_folder)[:2]
    found = throughput.peak_bytes("slow_gc width=4", form, videos)
    assert found is None or 4 * 8 * 256**2 < found < 1 << 30  # at least the frames of a view
