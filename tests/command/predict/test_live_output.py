"""A file that grows by whole lines, whatever ends the process."""

import csv
import errno
import io
import json
import os
import subprocess
import sys

import pytest

from gcvideo.command._output_check import OutputError
from gcvideo.command.predict import _live_output as live_output
from gcvideo.command.predict._live_output import COLUMNS, open_live_output

START = {"kind": "start", "video": "cam", "utc": "U", "checkpoint": "net"}
WINDOW = {
    "kind": "window",
    "start_seconds": 0.0,
    "end_seconds": 1.25,
    "utc": "2026-01-01T00:00:00.000Z",
    "classes": [
        {"label": 1, "name": "b, \u00e9", "score": 0.75},
        {"label": 0, "name": "a", "score": 0.25},
    ],
}
SEGMENT = {
    "kind": "segment",
    "start_seconds": 0.0,
    "end_seconds": 9.5,
    "label": 1,
    "name": "b",
    "score": 0.5,
}
GAP = {"kind": "gap", "start_seconds": 9.5, "end_seconds": 12.0, "utc": "U", "reason": "it\nbroke"}
END = {"kind": "end", "end_seconds": 12.0, "utc": "U", "windows": 1, "reason": "done"}
ROWS = (START, WINDOW, SEGMENT, GAP, END)


def write(path, rows, video="cam"):
    output = open_live_output(str(path), video)
    for row in rows:
        output.append(row)
    output.close()


def test_json_lines_are_the_rows(tmp_path):
    path = tmp_path / "new" / "live.jsonl"
    write(path, ROWS)
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == [*ROWS]


def test_a_table_has_a_line_for_each_row(tmp_path):
    write(tmp_path / "live.csv", ROWS, video="cam, 1")
    with (tmp_path / "live.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == COLUMNS
    assert rows == [
        ["cam, 1", "start", "", "", "", "", "", "utc U, checkpoint net"],
        ["cam, 1", "window", "0.000", "1.250", "1", "b, \u00e9", "0.750000", WINDOW["utc"]],
        ["cam, 1", "segment", "0.000", "9.500", "1", "b", "0.500000", ""],
        ["cam, 1", "gap", "9.500", "12.000", "", "", "", "U it broke"],
        ["cam, 1", "end", "", "12.000", "", "", "", "utc U, windows 1, reason done"],
    ]


def test_a_row_is_on_disk_when_it_has_been_appended(tmp_path):
    for name in ("live.jsonl", "live.csv"):
        path = tmp_path / name
        output = open_live_output(str(path), "cam")
        num_lines = path.suffix == ".csv"
        for row in ROWS:
            output.append(row)
            num_lines += 1
            assert path.read_text().count("\n") == num_lines
        output.close()


@pytest.mark.parametrize("name", ["live.jsonl", "live.csv"])
@pytest.mark.parametrize("num_lost", [1, 20])
def test_a_second_run_goes_on_behind_the_last_whole_row(tmp_path, name, num_lost):
    path = tmp_path / name
    write(path, [START, WINDOW])
    whole = path.read_bytes()
    write(path, [GAP])
    # What a kill in the middle of a row leaves.
    path.write_bytes(path.read_bytes()[:-num_lost])
    write(path, [SEGMENT])
    write(tmp_path / f"one{path.suffix}", [START, WINDOW, SEGMENT])
    assert path.read_bytes() == (tmp_path / f"one{path.suffix}").read_bytes()
    assert path.read_bytes().startswith(whole)


@pytest.mark.parametrize("name", ["live.jsonl", "live.csv"])
@pytest.mark.parametrize("num_bytes", [0, 1, 5])
def test_a_file_that_was_killed_in_its_first_row_begins_again(tmp_path, name, num_bytes):
    path = tmp_path / name
    write(path, [START])
    whole = path.read_bytes()
    path.write_bytes(whole[:num_bytes])
    write(path, [START])
    assert path.read_bytes() == whole


def test_a_row_may_be_longer_than_what_is_searched_at_once(tmp_path):
    path = tmp_path / "live.jsonl"
    write(path, [START, {"kind": "gap", "reason": "x" * 200_000}])
    path.write_bytes(path.read_bytes()[:-1])
    write(path, [])
    assert json.loads(path.read_text()) == START


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "video,rank,label\r\n"),
        ("a.csv", "no"),
        ("a.jsonl", '{"predictions": {}}\n'),
        ("a.jsonl", "[]"),
    ],
)
def test_the_file_of_something_else_is_left_alone(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(
        OutputError, match=r"exists and is not the \.\w+ output of a live source; give"
    ):
        open_live_output(str(tmp_path / name), "cam")
    assert (tmp_path / name).read_bytes().decode() == content


def test_a_file_has_one_writer(tmp_path):
    path = tmp_path / "live.jsonl"
    output = open_live_output(str(path), "cam")
    output.append(START)
    # A lock belongs to a process.
    code = (
        "import sys, gcvideo.command.predict._live_output as o; o.open_live_output(sys.argv[1], '')"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=False
    )
    assert "live.jsonl' is being written by another process; wait for it" in other.stderr
    output.close()
    assert path.read_text().count("\n") == 1


class FullDisk(io.FileIO):
    """A file on a disk with room for some bytes."""

    room = 0

    def write(self, data):
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        num_written = super().write(bytes(data[: self.room]))
        self.room -= num_written
        return num_written


@pytest.fixture
def full_disk(monkeypatch):
    monkeypatch.setattr(live_output, "FileIO", FullDisk)
    return FullDisk


def test_rows_wait_until_there_is_room_again(tmp_path, full_disk, monkeypatch, capsys):
    path = tmp_path / "live.jsonl"
    output = open_live_output(str(path), "cam")
    monkeypatch.setattr(full_disk, "room", 100)
    output.append(START)
    output.append(WINDOW)
    output.append(GAP)
    # No half row.
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()] == ["start"]
    output._file.room = 10**6
    output.append(SEGMENT)
    output.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        START,
        WINDOW,
        GAP,
        SEGMENT,
    ]
    errors = capsys.readouterr().err
    assert errors.count("warning: ") == 1
    assert "no space is left on the file system" in errors
    assert f"'{path}' is written again, and no row is missing" in errors


def test_rows_that_never_find_room_are_an_error(tmp_path, full_disk, monkeypatch):
    output = open_live_output(str(tmp_path / "live.jsonl"), "cam")
    output.append(START)
    with pytest.raises(OutputError, match="no space is left on the file system"):
        output.close()
    monkeypatch.setattr(live_output, "_MOST_WAITING_BYTES", 300)
    output = open_live_output(str(tmp_path / "other.jsonl"), "cam")
    output.append(WINDOW)
    with pytest.raises(OutputError, match="no space is left on the file system"):
        output.append(WINDOW)
    with pytest.raises(OutputError, match="no space is left on the file system"):
        output.close()


def test_a_reader_of_the_standard_output_that_has_gone_is_named():
    reader, writer = os.pipe()
    os.close(reader)
    with (
        os.fdopen(writer, "wb", buffering=0) as gone,
        pytest.raises(
            OutputError, match="'-' cannot be written: Broken pipe; keep its reader running"
        ),
    ):
        open_live_output("-", "cam", gone).append(START)
