"""Whatever ends a prediction, what is done stands in its output."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from gcvideo.command._interruption import Interrupted
from gcvideo.command._output_check import OutputError
from gcvideo.command.predict import _classification as classification
from gcvideo.command.predict import _prediction as prediction
from gcvideo.command.predict import _writer as prediction_writer
from gcvideo.command.predict._prediction import predict
from gcvideo.data import VideoReadError

NAMES = ("a.mp4", "b.mp4", "c.mp4", "d.mp4")
# They come in another order than they are listed in.
COMING = (2, 0, 3, 1)


@pytest.fixture
def videos(tmp_path, video_folder):
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in NAMES:
        (folder / name).symlink_to(video_folder / "dark" / "dark_0.mp4")
    return [str(folder / name) for name in NAMES]


@pytest.fixture
def run_predict(compose_config, checkpoint, videos):
    def run(*overrides, video=None):
        video = video or Path(videos[0]).parent
        words = [f"checkpoint={checkpoint}", f"video={video}", "num_workers=0", "device=cpu"]
        return predict(compose_config("predict", [*words, "top_k=1", *overrides]))

    return run


@pytest.fixture
def coming(monkeypatch):
    """Results come one by one; a function is called between them with their number."""
    monkeypatch.setattr(prediction_writer, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(prediction_writer, "_SHARE", 1e9)

    def install(between):
        def classify(classifier, paths, **_):
            for number, index in enumerate(COMING, 1):
                if number == 4:
                    yield index, VideoReadError(paths[index], "it is broken")
                else:
                    yield index, torch.tensor([0.25, 0.75])
                between(number)

        monkeypatch.setattr(classification, "classify_videos", classify)

    return install


def read_json(output):
    content = json.loads(output.read_text())
    return list(content["predictions"]), list(content["failures"]), content.get("not_classified")


def read_csv(output):
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    done = [row["video"] for row in rows if not row["error"]]
    waiting = [row["video"] for row in rows if row["error"] == "not classified yet"]
    failed = [row["video"] for row in rows if row["error"].startswith("cannot read video")]
    assert len(rows) == len(done) + len(waiting) + len(failed)
    return done, failed, waiting or None


READERS = {"json": read_json, "csv": read_csv}


@pytest.mark.parametrize("suffix", READERS)
def test_results_are_in_the_output_while_others_still_come(
    run_predict, coming, videos, tmp_path, suffix
):
    output, seen = tmp_path / "new" / f"out.{suffix}", []
    coming(lambda number: seen.append(READERS[suffix](output)))
    run_predict(f"output={output}")
    a, b, c, d = videos
    assert seen == [
        ([c], [], [a, b, d]),
        ([a, c], [], [b, d]),
        ([a, c, d], [], [b]),
        ([a, c, d], [b], None),
    ]
    assert READERS[suffix](output) == seen[-1]


def test_writing_takes_a_small_part_of_the_time(run_predict, coming, monkeypatch, tmp_path):
    coming(lambda number: time.sleep(0.01))
    monkeypatch.setattr(prediction_writer, "_LEAST_SECONDS", 60.0)
    written = []
    write = prediction_writer.write_predictions
    monkeypatch.setattr(
        prediction_writer, "write_predictions", lambda *a, **k: written.append(1) or write(*a, **k)
    )
    run_predict(f"output={tmp_path / 'out.json'}")
    assert len(written) == 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("suffix", READERS)
def test_a_signal_leaves_what_is_done_and_says_how_much(
    run_predict, coming, videos, tmp_path, capsys, number, status, suffix
):
    output = tmp_path / f"out.{suffix}"
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]

    def stop(number_done):
        if number_done == 2:
            os.kill(os.getpid(), number)

    coming(stop)
    with pytest.raises(Interrupted) as caught:
        run_predict(f"output={output}")
    assert caught.value.exit_status == status
    assert str(caught.value) == (
        f"stopped by {number.name}: 2 of 4 videos are done and written to '{output}', which lists the others "
        "as not classified; running the same command again starts from the beginning"
    )
    a, b, c, d = videos
    assert READERS[suffix](output) == ([a, c], [], [b, d])
    assert "0.750" in capsys.readouterr().out
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_before_the_first_result_leaves_an_older_output(
    run_predict, monkeypatch, tmp_path
):
    output = tmp_path / "out.json"
    output.write_text("older")
    monkeypatch.setattr(
        classification,
        "classify_videos",
        lambda *_, **__: (os.kill(os.getpid(), signal.SIGTERM) for _ in "a"),
    )
    with pytest.raises(Interrupted, match=r"stopped by SIGTERM: 0 of 4 videos are done$"):
        run_predict(f"output={output}")
    assert output.read_text() == "older"


def test_without_an_output_a_signal_shows_what_is_done(run_predict, coming, capsys):
    coming(lambda number: os.kill(os.getpid(), signal.SIGTERM) if number == 3 else None)
    with pytest.raises(
        Interrupted, match="3 of 4 videos are done and shown above; output=FILE keeps"
    ):
        run_predict()
    assert capsys.readouterr().out.count("0.750") == 3


def test_a_fault_of_the_program_leaves_what_is_done(run_predict, coming, videos, tmp_path):
    def fail(number):
        if number == 1:
            raise RuntimeError("out of memory")

    coming(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        run_predict(f"output={tmp_path / 'out.json'}")
    assert read_json(tmp_path / "out.json")[0] == [videos[2]]


@pytest.mark.parametrize("num_faults", [2, 99])
def test_a_disk_that_is_full_for_a_while_costs_nothing_and_else_leaves_what_is_on_the_screen(
    run_predict, coming, monkeypatch, tmp_path, capsys, num_faults
):
    output, write = tmp_path / "out.json", prediction_writer.write_predictions
    faults = [OSError(errno.ENOSPC, "No space left on device")] * num_faults

    def fail(*arguments, **named):
        if faults:
            raise faults.pop()
        write(*arguments, **named)

    monkeypatch.setattr(prediction_writer, "write_predictions", fail)
    coming(lambda number: None)
    message = r"no space is left .* choose another with output=\.\.\."
    with nullcontext() if num_faults == 2 else pytest.raises(OutputError, match=message):
        run_predict(f"output={output}")
        assert len(read_json(output)[0]) == 3
    printed, errors = capsys.readouterr()
    told = f"warning: '{output}' cannot be written: no space is left on the file system; make it"
    assert errors.replace("\n", " ").count(told) == 1
    assert printed.count("0.750") == 3


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("output={folder}/file/out.json", "a part of the path is a file, not a folder; make it"),
        ("output={folder}/taken.json", "taken.json', which is a folder; give the name of a file"),
        (
            "output=/dev/null/out.csv",
            r"'/dev/null/out.csv' cannot be written: .* with output=\.\.\.",
        ),
        ("annotated={folder}/file", r"a part of the path is a file, .* with annotated=\.\.\."),
        ("contact_sheets={folder}/file/a", r"a part .* with contact_sheets=\.\.\."),
    ],
)
def test_an_output_that_cannot_be_written_is_told_before_the_work(
    run_predict, monkeypatch, tmp_path, word, message
):
    (tmp_path / "file").touch()
    (tmp_path / "taken.json").mkdir()
    monkeypatch.setattr(prediction, "load", None)
    with pytest.raises(OutputError, match=message):
        run_predict(word.format(folder=tmp_path))


def test_a_name_of_no_file_costs_only_itself(run_predict, videos, tmp_path):
    listed, output = tmp_path / "list.txt", tmp_path / "out.json"
    listed.write_text(f"{videos[1]}\nno such file.mp4\n{videos[0]}\n")
    predictions = run_predict(f"output={output}", video=f"[{listed},none.mp4,{videos[3]}]")
    done = [videos[i] for i in (1, 0, 3)]
    assert list(predictions.rankings) == done
    assert predictions.failures["no such file.mp4"] == (
        f"no video at 'no such file.mp4' (row 2 of '{listed}')"
    )
    assert "no video at 'none.mp4'; give a file" in predictions.failures["none.mp4"]
    assert read_json(output) == (done, ["no such file.mp4", "none.mp4"], None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "suffix"),
    [
        (signal.SIGINT, 130, "json"),
        (signal.SIGTERM, 143, "csv"),
        (signal.SIGKILL, -signal.SIGKILL, "json"),
    ],
)
def test_a_killed_command_leaves_an_output_that_can_be_read(
    tmp_path, video_folder, checkpoint, project, number, status, suffix
):
    folder, output = tmp_path / "many", tmp_path / f"out.{suffix}"
    folder.mkdir()
    for video in range(6000):
        (folder / f"{video:04d}.mp4").symlink_to(video_folder / "dark" / "dark_0.mp4")
    words = [f"checkpoint={checkpoint}", f"video={folder}", f"output={output}", "device=cpu"]
    command = [sys.executable, str(project / "scripts" / "predict.py"), *words, "top_k=1"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"},
        # Where tests run in the background, SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        deadline = time.monotonic() + 300
        while not output.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, number)  # as a terminal and SLURM do
        errors = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == status, errors
    done, failed, waiting = READERS[suffix](output)
    assert 0 < len(done) < 6000
    assert len(done) + len(waiting) == 6000
    assert failed == []
    assert not (status > 0) or f"{len(done)} of 6000 videos are done and written to" in errors
    assert "Traceback" not in errors
    if number != signal.SIGKILL:
        assert [path for path in tmp_path.iterdir() if "draft" in path.name] == []
