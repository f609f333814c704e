import json
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from conftest import numbered_frames
from safetensors.torch import save_file

from gcvideo.data import VideoReader, write_video
from gcvideo.models import slow_resnet

TINY = ("--rounds", "1", "--seconds", "1", "--size", "96x64")
FIELDS = {"case", "reference", "ours", "theirs", "unit", "ratio", "low", "high", "note"}


def rows_of(path):
    rows = json.loads(path.read_text())
    for row in rows:
        assert row.keys() == FIELDS
        if row["ratio"] is None:
            assert row["note"].startswith("left out: ")
            assert len(row["note"]) > len("left out: ")
        else:
            assert row["ratio"] == pytest.approx(row["theirs"] / row["ours"])
            assert row["unit"] in ("ms", "s", "MB", "frames")
    return rows


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores cannot be chosen here")
@pytest.mark.parametrize("flag", [(), ("--all-cores",)])
def test_readers_get_one_core_or_all(benchmark, tmp_path, monkeypatch, flag):
    decode = benchmark("decode")
    available, seen = os.sched_getaffinity(0), []
    monkeypatch.setattr(
        decode, "compare_with_limit", lambda *_: seen.append(os.sched_getaffinity(0))
    )
    write_video(tmp_path / "a.mp4", numbered_frames(20))
    decode.main(["--case", "limit", "--video", str(tmp_path / "a.mp4"), *flag])
    assert seen == [available] if flag else len(seen[0]) == 1
    assert os.sched_getaffinity(0) == available


@pytest.mark.slow
def test_the_decoding_benchmark_compares_equal_pixels_in_every_case(benchmark, tmp_path, capsys):
    path = tmp_path / "figures.json"
    assert benchmark("decode").main([*TINY, "--large", "192x128", "--json", str(path)]) == 0
    rows = rows_of(path)
    kinds = ("GOP 250", "GOP 250, no B-frames", "GOP 16", "GOP 250, AAC")
    cases = {row["case"] for row in rows}
    for kind in kinds:
        assert {f"8x8 clip, {kind}", f"8x8 clip, {kind}, no index"} <= cases
        assert f"10 clips x 3 crops, {kind}" in cases
        for reference in ("PySlowFast's loop", "plain PyAV loop", "ours, no index"):
            (note,) = (
                row["note"]
                for row in rows
                if (row["case"], row["reference"]) == (f"8x8 clip, {kind}", reference)
            )
            assert note == "equal"
        (frames,) = (row for row in rows if row["case"] == f"frames decoded, {kind}")
        assert 0.8 < frames["ratio"] <= 1
    assert {"8x8 clip, re-encoded (GOP 16)", "8x8 clip, 192x128 to 38"} <= cases
    assert "ratio" in capsys.readouterr().out


@pytest.mark.slow
def test_the_loading_benchmark_compares_equal_clips(project, tmp_path):
    path = tmp_path / "figures.json"
    script = project / "benchmarks" / "loader.py"
    done = subprocess.run(
        [sys.executable, script, *TINY, "--videos", "4", "--batch-size", "2", "--json", path],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    rows = rows_of(path)
    (batch,) = (row for row in rows if row["case"] == "batch of 2, GOP 16")
    assert batch["ratio"] == 4
    cases = {row["case"] for row in rows}
    assert {f"clip, GOP 250, {workers} workers" for workers in (0, 2)} <= cases
    assert "validation, batches of 1, in_order=False" in cases


@pytest.mark.parametrize(
    ("options", "case"),
    [
        (("--case", "one", "--videos", "3"), "3 videos, small net, 1 view"),
        pytest.param(
            ("--case", "many", "--videos", "1"),
            "1 videos, small net, 10 x 3 views",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_classification_benchmark_compares_equal_scores(
    benchmark, tmp_path, video_folder, options, case
):
    path = tmp_path / "figures.json"
    arguments = [str(video_folder), "--rounds", "1", *options, "--json", str(path)]
    assert benchmark("classification").main(arguments) == 0
    rows = rows_of(path)
    references = ["loop over scores()", "decoding alone", "forward alone", "both parts"]
    assert [(row["case"], row["reference"]) for row in rows] == [(case, r) for r in references]


def test_the_classification_benchmark_makes_videos_and_its_nets(benchmark, tmp_path):
    classification = benchmark("classification")
    options = classification.parse_arguments(["--videos", "3", "--seconds", "1", "--size", "96x64"])
    videos = classification.make_videos(tmp_path, options)
    assert classification.find_videos(tmp_path) == videos
    with pytest.raises(ValueError, match=r"no video in '.*'; give a folder with videos, or none"):
        classification.find_videos(tmp_path / "none")
    assert len(classification.full_classifier().classes) == 400


def test_unequal_scores_end_the_classification_benchmark_with_an_error(
    benchmark, monkeypatch, capsys, video_folder, tmp_path
):
    classification, path = benchmark("classification"), tmp_path / "figures.json"
    scores = classification.TrainedClassifier.scores
    monkeypatch.setattr(
        classification.TrainedClassifier, "scores", lambda *a, **k: scores(*a, **k) + 0.001
    )
    options = ["--case", "one", "--videos", "2", "--json", str(path)]
    assert classification.main([str(video_folder), *options]) == 1
    assert "scores differ by 0.001, 0.0001 is allowed; find" in capsys.readouterr().err
    assert not path.exists()


@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("decode", ("--case", "clip")),
        ("decode", ("--case", "views")),
        ("loader", ("--case", "dataset", "--videos", "2")),
    ],
)
def test_a_reader_of_wrong_frames_ends_the_benchmark_with_an_error(
    benchmark, monkeypatch, capsys, tmp_path, script, options
):
    if script == "loader":
        pytest.importorskip("pytorchvideo.data")
    module, read = benchmark(script), VideoReader.read

    def read_one_late(self, indices, **settings):
        late = np.minimum(np.asarray(indices) + 1, self.info.num_frames - 1)
        return read(self, late, **settings)

    monkeypatch.setattr(VideoReader, "read", read_one_late)
    path = tmp_path / "figures.json"
    assert module.main([*TINY, *options, "--json", str(path)]) == 1
    assert "find the wrong one before times are compared" in capsys.readouterr().err
    assert not path.exists()


def test_a_result_of_another_shape_is_not_compared(benchmark):
    comparison = benchmark("comparison")
    with pytest.raises(
        comparison.UnequalError, match=r"case: .* \(1, 2\), the reference's \(1, 3\)"
    ):
        comparison.require_equal("case", np.zeros((1, 2)), np.zeros((1, 3)))


def test_pixels_may_differ_by_the_tolerance_and_no_more(benchmark):
    comparison = benchmark("comparison")
    ours, theirs = np.zeros((2, 2), np.uint8), np.array([[0, 0], [1, 1]], np.uint8)
    assert comparison.require_equal("case", ours, ours) == "equal"
    assert "0.500 levels" in comparison.require_equal("case", ours, theirs, tolerance=0.5)
    with pytest.raises(
        comparison.UnequalError, match=r"differ by 0\.5 levels .*, 0\.4 are allowed"
    ):
        comparison.require_equal("case", ours, theirs, tolerance=0.4)


def test_contenders_take_turns_and_each_is_timed_by_the_clock(benchmark):
    calls, now = [], [0.0]

    def contender(name, seconds):
        def call(number):
            calls.append((name, number))
            now[0] += seconds + number

        return call

    contenders = {"a": contender("a", 1.0), "b": contender("b", 2.0)}
    seconds = benchmark("comparison").measure(contenders, 3, lambda: now[0])
    assert calls[2:] == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]
    np.testing.assert_array_equal(seconds["a"], [1, 2, 3])
    np.testing.assert_array_equal(seconds["b"], [2, 3, 4])


def test_a_ratio_is_that_of_the_medians_and_its_spread_that_of_the_rounds(benchmark):
    table = benchmark("comparison").Comparison("title")
    ours, theirs = np.array([0.001, 0.002, 0.004]), np.array([0.002, 0.006, 0.016])
    table.add_times("case", "reference", ours, theirs)
    (row,) = table.rows
    assert (row.ours, row.theirs, row.unit) == (2.0, 6.0, "ms")
    assert (row.ratio, row.low, row.high) == pytest.approx((3.0, 2.5, 3.5))


def test_a_library_that_does_not_load_is_left_out_by_name_with_the_reason(
    benchmark, monkeypatch, capsys
):
    references, comparison = benchmark("references"), benchmark("comparison")

    def fail(name):
        raise RuntimeError(f"no shared library for {name}\nand a long trace")

    monkeypatch.setattr(references, "import_module", fail)
    lost = [reference for reference in references.all_references() if reference.read is None]
    assert {reference.name.split()[0] for reference in lost} == {
        "torchcodec",
        "decord",
        "decord2",
        "video-reader-rs",
        "pytorchvideo",
    }
    table = comparison.Comparison("title")
    table.leave_out("case", lost[0].name, lost[0].reason)
    table.show()
    shown = " ".join(capsys.readouterr().out.split())
    assert lost[0].name in shown
    assert "left out: " in shown
    assert "long trace" not in shown


def test_a_clip_of_a_window_with_too_few_frames_is_refused(benchmark):
    clip = benchmark("references").Clip("a.mp4", np.array([4, 6, 8]), Fraction(30))
    assert clip.thin(list("abcde")) == ["a", "c", "e"]
    with pytest.raises(ValueError, match="has 4 frames, not 5; the frame rate must be constant"):
        clip.thin(list("abcd"))


def test_a_video_too_short_for_a_clip_is_named(benchmark, video_folder, tmp_path):
    subject = benchmark("subject").Subject
    whole = subject.of("short", str(video_folder / "dark" / "dark_0.mp4"), 3)
    assert all(clip.indices[-1] < 20 and len(clip.indices) == 8 for clip in whole.clips)
    write_video(tmp_path / "seven.mp4", numbered_frames(7))
    with pytest.raises(ValueError, match=r"seven\.mp4' has 7 frames; a clip takes at least 8"):
        subject.of("short", str(tmp_path / "seven.mp4"), 3)


@pytest.mark.parametrize(("error", "code"), [(0.0, 0), (0.01, 1)])
def test_parity_compares_stored_outputs_and_tells_by_its_exit_code(
    benchmark, tmp_path, capsys, error, code
):
    net = slow_resnet(num_classes=5, width=4, head="fcn_logit").eval()
    net.blocks[-1].configure("fcn_logit", 2)
    x = torch.randn(1, 3, 4, 64, 64)
    with torch.no_grad():
        logits = net(x)
    state = {f"state_dict.{k}": v.contiguous() for k, v in net.state_dict().items()}
    stored = state | {"input": x, "logits": logits + error * logits.std()}
    save_file(stored, tmp_path / "slow.safetensors")
    (tmp_path / "block_other.safetensors").write_bytes(b"")
    output = tmp_path / "parity.json"
    arguments = [str(tmp_path), "--no-hub", "--json", str(output)]
    assert benchmark("parity").main(arguments) == code
    (row,) = json.loads(output.read_text())
    assert row["found"] == "Slow R50 of width 4"
    assert row["difference"] == pytest.approx(error, abs=1e-4)
    assert "slow" in capsys.readouterr().out
