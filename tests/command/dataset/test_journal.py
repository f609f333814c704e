import os

import pytest

from gcvideo.command.dataset._journal import Findings, Journal
from gcvideo.data import VideoCheck
from gcvideo.data.video._frame_index import FileStamp

OK = VideoCheck("ok", "", 60, 60, 0, 0, 30000 / 1001, 340, 256)
DAMAGED = VideoCheck("damaged", 'a "reason", with\nall', 49, None, 1, 2, 25.0, 64, 48)
STAMP = FileStamp(1234, 1_795_409_861_516_735_487)


def test_findings_come_back_as_they_were(tmp_path):
    file = tmp_path / "journal.jsonl"
    names = ["plain.mp4", 'odd, "name"\n.mp4', "latin \udce9.mp4"]
    with Journal(file, VideoCheck) as journal:
        for name in names:
            journal.add(name, STAMP, DAMAGED)
        journal.add("ok.mp4", STAMP, OK)
    for _ in range(2):
        with Journal(file, VideoCheck) as journal:
            assert [journal.recall(name, STAMP) for name in names] == [DAMAGED] * 3
            assert journal.recall("ok.mp4", STAMP) == OK


def test_a_changed_file_is_checked_again(tmp_path):
    with Journal(tmp_path / "journal.jsonl", VideoCheck) as journal:
        journal.add("a.mp4", STAMP, OK)
    with Journal(tmp_path / "journal.jsonl", VideoCheck) as journal:
        for stamp in (STAMP._replace(size=1), STAMP._replace(mtime_ns=1), None):
            assert journal.recall("a.mp4", stamp) is None
        assert journal.recall("b.mp4", STAMP) is None


def test_findings_are_those_of_files_that_have_not_changed(tmp_path):
    file = tmp_path / "journal.jsonl"
    assert Findings(file, VideoCheck).current({"a.mp4": STAMP}) == {}
    with Journal(file, VideoCheck) as journal:
        for name in ("a.mp4", "b.mp4", "c.mp4"):
            journal.add(name, STAMP, DAMAGED)
        journal.add("a.mp4", STAMP, OK)
    stamps = {"a.mp4": STAMP, "b.mp4": STAMP._replace(size=1), "d.mp4": None}
    assert Findings(file, VideoCheck).current(stamps) == {"a.mp4": OK}


def test_a_finding_is_on_disk_at_once_and_the_last_one_counts(tmp_path):
    file = tmp_path / "journal.jsonl"
    with Journal(file, VideoCheck) as journal:
        journal.add("a.mp4", STAMP, OK)
        journal.add("a.mp4", STAMP, DAMAGED)
        with Journal(file, VideoCheck) as other:
            assert other.recall("a.mp4", STAMP) == DAMAGED


def test_a_journal_cut_off_anywhere_keeps_all_rows_before(tmp_path):
    file = tmp_path / "journal.jsonl"
    with Journal(file, VideoCheck) as journal:
        journal.add("a.mp4", STAMP, OK)
        first = len(file.read_bytes()) - 1  # the end of the line may lack
        journal.add("b.mp4", STAMP, DAMAGED)
    whole = file.read_bytes()
    for end in range(0, len(whole), 3):
        file.write_bytes(whole[:end])
        with Journal(file, VideoCheck) as journal:
            assert journal.recall("a.mp4", STAMP) == (OK if end >= first else None)
            assert journal.recall("b.mp4", STAMP) is None
            journal.add("c.mp4", STAMP, OK)
        with Journal(file, VideoCheck) as journal:
            assert journal.recall("c.mp4", STAMP) == OK


def test_the_stamp_is_size_and_time_of_change(tmp_path):
    file = tmp_path / "a.mp4"
    file.write_bytes(b"four")
    os.utime(file, ns=(5, 7_000_000_000))
    assert FileStamp.of(file) == (4, 7_000_000_000)
    assert FileStamp.of(tmp_path / "none.mp4") is None


def test_nothing_is_noted_without_a_stamp(tmp_path):
    with Journal(tmp_path / "journal.jsonl", VideoCheck) as journal:
        before = (tmp_path / "journal.jsonl").read_bytes()
        journal.add("a.mp4", None, OK)
        assert (tmp_path / "journal.jsonl").read_bytes() == before


@pytest.mark.parametrize("text", ["", "path\n", "null\n", '["a.mp4", [1, 2], {"fps": 25}]\n'])
def test_lines_that_make_no_sense_are_dropped(tmp_path, text):
    file = tmp_path / "journal.jsonl"
    with Journal(file, VideoCheck) as journal:
        journal.add("b.mp4", STAMP, OK)
    with file.open("a") as stream:
        stream.write(text)
    with Journal(file, VideoCheck) as journal:
        assert journal.recall("a.mp4", FileStamp(1, 2)) is None
        assert journal.recall("b.mp4", STAMP) == OK
    assert file.read_text().count("\n") == 1
