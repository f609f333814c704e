"""The results of a live source are kept as they come."""

import csv
import itertools
import json
import os
import signal
import threading
import tracemalloc
from functools import partial

import numpy as np
import pytest
import torch
from live_sender import LiveSender, pieces

import gcvideo
from gcvideo.command._interruption import Interrupted
from gcvideo.command.predict import _live_classification as live_classification
from gcvideo.command.predict import _live_record as live_record
from gcvideo.command.predict._live_output import open_live_output
from gcvideo.command.predict._live_prediction import predict
from gcvideo.command.predict._live_record import LiveRecord
from gcvideo.command.predict._work import PredictionCount
from gcvideo.data import StreamGap, write_video
from gcvideo.inference import Backlog, LiveScores, classify_windows, merge_segments


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Three seconds, dark at first and light then."""
    levels = np.repeat([30, 220], 45).astype(np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (90, 48, 64, 3))
    path = tmp_path_factory.mktemp("recorded") / "recorded.ts"
    write_video(path, np.ascontiguousarray(frames))
    return path


@pytest.fixture
def run_predict(compose_config, checkpoint):
    def run(video, *overrides):
        words = [f"checkpoint={checkpoint}", f"video={video}", "num_workers=0", "device=cpu"]
        return predict(compose_config("predict", [*words, *overrides]))

    return run


@pytest.fixture
def live_source(recorded, tmp_path):
    """A pipe that the video is sent through."""
    pipe = tmp_path / "pipe.ts"
    os.mkfifo(pipe)
    sender = threading.Thread(target=lambda: pipe.write_bytes(recorded.read_bytes()))
    sender.start()
    yield pipe
    sender.join()


def rows_of(lines, kind):
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


def test_windows_and_segments_of_a_stream_are_those_of_its_file(
    run_predict, live_source, recorded, checkpoint, tmp_path, capsys
):
    output = tmp_path / "new" / "live.jsonl"
    run_predict(live_source, "stride_seconds=0.5", "threshold=0.5", "top_k=1", f"output={output}")
    lines = output.read_text().splitlines()
    classifier = gcvideo.load(checkpoint, device="cpu")
    expected = classify_windows(classifier, recorded, stride_seconds=0.5)
    windows = rows_of(lines, "window")
    assert [w["start_seconds"] for w in windows] == pytest.approx(expected.starts, abs=0.02)
    scores = [w["classes"][0]["score"] for w in windows]
    assert scores == pytest.approx(expected.scores.amax(1).tolist(), abs=1e-5)
    segments = merge_segments(expected, classifier.classes, threshold=0.5)
    found = [(s["name"], s["start_seconds"], s["end_seconds"]) for s in rows_of(lines, "segment")]
    assert [name for name, _, _ in found] == [s.name for s in segments]
    assert [start for _, start, _ in found] == pytest.approx(
        [s.start_seconds for s in segments], abs=0.02
    )
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds[0] == "start"
    assert kinds[-1] == "end"
    (end,) = rows_of(lines, "end")
    assert (end["windows"], end["segments"]) == (len(windows), len(segments))
    assert (end["gaps"], end["windows_left_out"], end["reason"]) == (0, 0, "the source ended")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("checkpoint ")
    assert printed[1] == "precision  float32"
    assert printed[2].startswith("0:00.0 - ")
    told = f"the source ended: {len(windows)} windows, {len(segments)} segments, 0 gaps, 0 windows left out"
    assert printed[-1] == told


def test_a_stream_is_warned_of_a_stride_beyond_the_window_while_it_runs(
    run_predict, live_source, capsys
):
    run_predict(live_source, "stride_seconds=1.2", "threshold=1")
    lines = capsys.readouterr().out.splitlines()
    warned = [i for i, line in enumerate(lines) if line.startswith("warning: windows of ")]
    assert len(warned) == 1
    assert " s start every 1.2 s" in lines[warned[0]]
    assert lines[warned[0] - 1].startswith("0:01.2 - "), lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_signal_ends_a_stream_with_what_was_seen(
    run_predict, live_source, tmp_path, monkeypatch, number, suffix
):
    output = tmp_path / f"seen.{suffix}"
    # Called once, behind the second window.
    monkeypatch.setattr(live_record, "warn_of_gaps", lambda *_: os.kill(os.getpid(), number))
    words = ["stride_seconds=0.5", "threshold=0", "top_k=1", f"output={output}"]
    if number == signal.SIGINT:
        run_predict(live_source, *words)
    else:
        with pytest.raises(Interrupted, match="stopped by SIGTERM") as caught:
            run_predict(live_source, *words)
        assert caught.value.exit_status == 143
    if suffix == "jsonl":
        rows = list(map(json.loads, output.read_text().splitlines()))
        assert rows[-1]["reason"] == f"stopped by {number.name}"
    else:
        with output.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows[-1]["note"].endswith(f"windows_left_out 0, reason stopped by {number.name}")
        assert [row["name"] != "" for row in rows] == [False, True, True, True, False]
    assert [row["kind"] for row in rows] == ["start", "window", "window", "segment", "end"]


@pytest.mark.parametrize("option", ["annotated", "contact_sheets", "shard"])
def test_a_stream_cannot_be_read_again(run_predict, option):
    with pytest.raises(ValueError, match=f"{option} is 'x', but 'udp://host:1' is a live source"):
        run_predict("udp://host:1", f"{option}=x")


def test_a_stream_stands_alone(run_predict):
    with pytest.raises(
        ValueError, match="'udp://host:1' is a live source, which cannot be combined"
    ):
        run_predict("[a.mp4,udp://host:1]")


def test_a_stream_is_not_written_as_one_document(run_predict):
    message = (
        r"output is 'a.json', but rows of a live source .* give one ending in .jsonl or .csv, or -"
    )
    with pytest.raises(ValueError, match=message):
        run_predict("udp://host:1", "output=a.json")


def test_the_standard_output_has_rows_alone(run_predict, live_source, capfd):
    run_predict(live_source, "output=-", "stride_seconds=1.2")
    printed, errors = capfd.readouterr()
    kinds = [json.loads(line)["kind"] for line in printed.splitlines()]
    assert kinds[0] == "start"
    assert kinds[-1] == "end"
    assert "precision  float32" in errors
    assert "warning: windows of" in errors
    assert "the source ended: " in errors


@pytest.fixture
def sender(recorded):
    """An address that sends the video twice."""
    with LiveSender([pieces(recorded.read_bytes()) for _ in range(2)]) as sender:
        yield sender.address


@pytest.mark.slow
def test_an_address_is_connected_to_again_until_it_stays_away(
    run_predict, sender, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("gcvideo.data.video._reconnecting._JITTER", 0.0)
    output = tmp_path / "live.jsonl"
    words = ["stride_seconds=1", "threshold=0", "top_k=1", "reconnect_seconds=1.5"]
    words.append("max_delay_seconds=null")  # a busy machine would leave windows out
    assert run_predict(sender, *words, f"output={output}") == PredictionCount(1, 1)
    lines = output.read_text().splitlines()
    (end,) = rows_of(lines, "end")
    reason = end["reason"]
    assert reason.startswith(f"cannot read video '{sender}': no frame has come for 2 seconds (the")
    back, away = rows_of(lines, "gap")
    assert end["gaps"] == 2
    assert back["reason"] == away["reason"] == "the sender ended it"
    assert back["start_seconds"] == pytest.approx(89 / 30, abs=0.01)
    assert 1 < back["end_seconds"] - back["start_seconds"] < 5
    assert away["end_seconds"] - away["start_seconds"] >= 1.5
    # Each connection is a source of its own, whose last window ends with its last frame.
    windows = rows_of(lines, "window")
    times = [(window["start_seconds"], window["end_seconds"]) for window in windows]
    before = [end for start, end in times if start < back["end_seconds"]]
    assert before == pytest.approx([32 / 30, 1 + 32 / 30, 3], abs=0.02)
    assert len(times) > len(before)
    assert times[len(before)][0] == back["end_seconds"]
    assert times[-1][1] == pytest.approx(away["start_seconds"] + 1 / 30, abs=0.01)
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds[kinds.index("gap") - 1] == "segment"
    told = [line.partition(" ")[2] for line in capsys.readouterr().err.splitlines()]
    assert told[:3] == [
        "the source is lost: the sender ended it; connecting again for up to 1.5 seconds",
        f"the source is back after {back['end_seconds'] - back['start_seconds']:.1f} seconds",
        "the source is lost: the sender ended it; connecting again for up to 1.5 seconds",
    ]


def test_an_address_is_read_once_where_that_is_wanted(run_predict, sender, tmp_path):
    output = tmp_path / "live.jsonl"
    counted = run_predict(sender, "reconnect_seconds=0", f"output={output}")
    assert counted == PredictionCount(1, 0)
    lines = output.read_text().splitlines()
    assert rows_of(lines, "gap") == []
    assert rows_of(lines, "end")[0]["reason"] == "the source ended"


@pytest.fixture
def slow_net(monkeypatch):
    """A net that takes ten seconds for a window, as far as the clock of lateness tells."""
    seconds = itertools.count(0.0, 10.0)
    now = [next(seconds)]
    add = LiveRecord.add_window

    def add_slowly(record, window):
        add(record, window)
        now[0] = next(seconds)

    monkeypatch.setattr(LiveRecord, "add_window", add_slowly)
    monkeypatch.setattr(live_classification, "Backlog", partial(Backlog, clock=lambda: now[0]))


@pytest.mark.parametrize(("limit", "num_windows"), [("5", 2), ("null", 9)])
def test_a_net_that_is_too_slow_is_told_once_and_late_windows_are_counted(
    run_predict, sender, slow_net, tmp_path, capsys, limit, num_windows
):
    output = tmp_path / "live.jsonl"
    words = ["stride_seconds=0.25", "reconnect_seconds=0", f"max_delay_seconds={limit}"]
    run_predict(sender, *words, f"output={output}")
    (end,) = rows_of(output.read_text().splitlines(), "end")
    # The last one is that of the end.
    assert end["windows"] == num_windows
    assert end["windows"] + end["windows_left_out"] == 9
    printed, errors = capsys.readouterr()
    assert printed.splitlines()[-1].endswith(f", {end['windows_left_out']} windows left out")
    warning = (
        "warning: a window takes 10 s and one starts every 0.25 s; those that would come more than 5 s late "
        "are left out and counted at the end; give stride_seconds=12 or more"
    )
    assert errors.count(warning) == (limit == "5")


def test_a_pipe_waits_for_a_slow_net(run_predict, live_source, slow_net, tmp_path):
    output = tmp_path / "live.jsonl"
    run_predict(live_source, "stride_seconds=0.25", f"output={output}")
    (end,) = rows_of(output.read_text().splitlines(), "end")
    assert (end["windows"], end["windows_left_out"]) == (9, 0)


def test_a_record_keeps_no_row(compose_config, checkpoint, tmp_path):
    cfg = compose_config("predict", [f"checkpoint={checkpoint}", "video=udp://host:1"])
    classifier = gcvideo.load(checkpoint, device="cpu")
    output = open_live_output(str(tmp_path / "live.jsonl"), "cam")
    record = LiveRecord(cfg, classifier, output, Backlog(1.0, None))

    def add(numbers):
        for number in numbers:
            score = torch.tensor([0.9, 0.1] if number // 3 % 2 else [0.2, 0.8])
            record.add_window(LiveScores(float(number), number + 1.0, score))
            if number % 10 == 0:
                record.add_gap(StreamGap(number + 1.0, number + 1.0, f"reason {number}"))

    add(range(50))
    tracemalloc.start()
    add(range(50, 150))
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    record.end("over")
    # A row has 200 bytes on disk, and more as an object.
    assert size < 10_000
    assert (tmp_path / "live.jsonl").read_text().count('"window"') == 150
