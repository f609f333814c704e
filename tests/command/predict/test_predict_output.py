import re
import shutil

import numpy as np
import pytest
from PIL import Image
from predicted import rows_of

import gcvideo
from gcvideo._console import Console
from gcvideo.command.predict._prediction import predict
from gcvideo.command.predict._work import PredictionCount
from gcvideo.data import probe, read_frames, write_video
from gcvideo.inference import classify_windows, merge_segments
from gcvideo.inference._seconds_bar import format_seconds


@pytest.fixture(scope="module")
def long_video(tmp_path_factory):
    """Three seconds, dark at first and light then, in a folder with a broken file."""
    folder = tmp_path_factory.mktemp("long")
    levels = np.repeat([30, 220], 45).astype(np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (90, 48, 64, 3))
    write_video(folder / "change.mp4", np.ascontiguousarray(frames))
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture
def run_predict(compose_config, checkpoint):
    def run(video, *overrides):
        words = [f"checkpoint={checkpoint}", f"video={video}", "num_workers=0", "device=cpu"]
        return predict(compose_config("predict", [*words, *overrides]))

    return run


def test_windows_and_segments_are_written_as_lines(run_predict, long_video, tmp_path, checkpoint):
    output = tmp_path / "new" / "timeline.jsonl"
    words = ["stride_seconds=0.5", "threshold=0", "top_k=2", f"output={output}"]
    assert run_predict(long_video, *words) == PredictionCount(2, 1)
    broken, seen = rows_of(output).values()
    assert "cannot read video" in broken["error"]
    classifier = gcvideo.load(checkpoint, device="cpu")
    expected = classify_windows(classifier, long_video / "change.mp4", stride_seconds=0.5)
    windows = seen["windows"]
    assert [w["start_seconds"] for w in windows] == pytest.approx(expected.starts, abs=1e-6)
    assert [w["classes"][0]["score"] for w in windows] == pytest.approx(
        expected.scores.amax(1).tolist(), abs=1e-6
    )
    assert len(windows[0]["classes"]) == 2
    segments = seen["segments"]
    assert segments == [
        {
            "start_seconds": pytest.approx(s.start_seconds, abs=1e-6),
            "end_seconds": pytest.approx(s.end_seconds, abs=1e-6),
            "label": s.label,
            "name": s.name,
            "score": pytest.approx(s.score, abs=1e-6),
        }
        for s in merge_segments(expected, classifier.classes, threshold=0)
    ]
    assert segments[-1]["end_seconds"] == pytest.approx(3.0)


def test_a_second_prediction_shows_its_own_videos_alone(run_predict, video_folder, capsys):
    dark, light = video_folder / "dark" / "dark_0.mp4", video_folder / "light" / "light_0.mp4"
    run_predict(dark)
    capsys.readouterr()
    run_predict(light)
    printed = capsys.readouterr().out
    assert light.name in printed
    assert dark.name not in printed


def test_of_many_failures_the_first_are_shown(run_predict, tmp_path, capsys):
    for number in range(13):
        (tmp_path / f"{number:02d}.mp4").write_bytes(b"no video")
    output = tmp_path / "out.csv"
    run_predict(tmp_path, f"output={output}")
    printed = capsys.readouterr().out
    assert "13 files could not be read:\n" in printed
    assert "/09.mp4'" in printed
    assert "/10.mp4'" not in printed
    assert f"and 3 more, in '{output}'" in printed
    assert re.search(r"13 videos in \d+ s, [\d.]+/s; results are in", printed)


def test_a_threshold_that_no_window_reaches_leaves_no_segment(
    run_predict, long_video, tmp_path, capsys
):
    output = tmp_path / "out.jsonl"
    words = ["stride_seconds=1", "threshold=1", f"output={output}"]
    run_predict(long_video / "change.mp4", *words)
    (row,) = rows_of(output).values()
    assert row["segments"] == []
    assert "no class reaches the threshold" in capsys.readouterr().out


def test_windows_and_segments_are_written_as_csv(run_predict, long_video, tmp_path):
    table, lines = tmp_path / "timeline.csv", tmp_path / "timeline.jsonl"
    for output in (table, lines):
        run_predict(long_video, "stride_seconds=1", "threshold=0", f"output={output}")
    _, seen = rows_of(lines).values()
    (broken,), rows = rows_of(table).values()
    kinds = [row["kind"] for row in rows]
    assert kinds.count("window") == len(seen["windows"])
    assert kinds.count("segment") == len(seen["segments"])
    assert "cannot read video" in broken["error"]
    best = next(row for row in rows if row["kind"] == "window")
    assert best["name"] == seen["windows"][0]["classes"][0]["name"]
    assert best["score"] == f"{seen['windows'][0]['classes'][0]['score']:.6f}"


def test_windows_and_segments_are_columns_of_parquet(run_predict, long_video, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    table, lines = tmp_path / "timeline.parquet", tmp_path / "timeline.jsonl"
    for output in (table, lines):
        run_predict(long_video, "stride_seconds=1", "threshold=0", f"output={output}")
    found = parquet.read_table(table).to_pylist()
    for row, expected in zip(found, rows_of(lines).values(), strict=True):
        assert {key: value for key, value in row.items() if value is not None} == expected


def test_a_stride_beyond_the_window_is_warned_of_once(run_predict, long_video, tmp_path, capsys):
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(long_video / "change.mp4", tmp_path / name)
    output = tmp_path / "out.jsonl"
    run_predict(tmp_path, "stride_seconds=1.5", f"output={output}")
    first = rows_of(output)[str(tmp_path / "a.mp4")]["windows"][0]
    length = first["end_seconds"] - first["start_seconds"]
    printed = capsys.readouterr().out
    assert printed.count("warning:") == 1
    assert f"warning: windows of {length:.3g} s start every 1.5 s; the time between" in printed
    assert f"give stride_seconds={length / 2:.2g}, or at most {length:.3g}" in printed
    run_predict(tmp_path, f"stride_seconds={length}")
    assert "warning:" not in capsys.readouterr().out


def test_one_long_video_has_a_bar_over_its_time_on_a_terminal(
    run_predict, long_video, tmp_path, monkeypatch, capsys
):
    video = long_video / "change.mp4"
    run_predict(video, "stride_seconds=0.5", f"annotated={tmp_path / 'seen'}")
    assert "of 0:03.0" not in capsys.readouterr().err
    monkeypatch.setattr(Console, "is_terminal", property(lambda _: True))
    run_predict(video, "stride_seconds=0.5", f"annotated={tmp_path / 'seen'}")
    lines = capsys.readouterr().err.splitlines()
    for work in ("Classifying", "Annotating"):
        assert any(work in line and "of 0:03.0" in line for line in lines)


def test_annotated_videos_keep_their_frames_and_gain_a_panel(run_predict, long_video, tmp_path):
    run_predict(long_video, "stride_seconds=1", f"annotated={tmp_path / 'seen'}")
    assert [file.name for file in (tmp_path / "seen").iterdir()] == ["change.mp4"]
    video, seen = long_video / "change.mp4", tmp_path / "seen" / "change.mp4"
    assert probe(seen).num_frames == probe(video).num_frames
    before, after = (read_frames(path, [0, 89]).astype(int) for path in (video, seen))
    assert np.abs(before[:, :10] - after[:, :10]).max() < 12  # encoded anew
    assert np.abs(before[1, -10:] - after[1, -10:]).max() > 60


def test_contact_sheets_show_the_views_of_each_video(run_predict, video_folder, tmp_path):
    run_predict(
        video_folder,
        "num_clips=2",
        "num_crops=3",
        f"contact_sheets={tmp_path / 'sheets'}",
    )
    sheets = sorted((tmp_path / "sheets").rglob("*.png"))
    assert [str(s.relative_to(tmp_path / "sheets")) for s in sheets][:1] == ["dark/dark_0.mp4.png"]
    assert len(sheets) == 12
    with Image.open(sheets[0]) as sheet:
        assert sheet.height > 6 * 32  # six views of 32 pixels, each with a caption


def test_windows_are_single_clips(run_predict, long_video):
    with pytest.raises(ValueError, match="num_clips is 2, but with stride_seconds every window"):
        run_predict(long_video, "stride_seconds=1", "num_clips=2")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00.0"), (59.97, "1:00.0"), (61.5, "1:01.5"), (3725, "1:02:05.0")]
)
def test_seconds_are_printed_as_on_a_clock(seconds, text):
    assert format_seconds(seconds) == text
