"""Files of results: whatever a kill leaves, whole inputs are kept, and all others are done again."""

import csv
import errno
import io
import json
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcvideo.command._output_check import OutputError
from gcvideo.command.results import _row_file as row_file
from gcvideo.command.results._row_file import RowFile, RowFileError, delete_free
from gcvideo.command.results._row_layout import Csv, JsonLines

TABLE = Csv(("index", "video", "name", "error"), lambda record: [[n] for n in record["names"]])
LAYOUTS = {"jsonl": JsonLines(), "csv": TABLE}
NAMES = ["a", 'with "quotes", and\na line', "caf\udce9", "ü", ""]


def record(place, names=("a", "b")):
    if place % 5 == 4:
        return {"index": place, "video": f"{place}.mp4", "error": "it is broken\nin two lines"}
    return {"index": place, "video": f"{NAMES[place % 5]}/{place}.mp4", "names": list(names)}


def independent_csv(records):
    """The same table by csv alone."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(TABLE.columns)
    for r in records:
        for name in r.get("names", [""]):
            writer.writerow([r["index"], r["video"], name, r.get("error", "")])
    return text.getvalue().encode(errors="surrogateescape")


def written(path, layout, places, **opened):
    file = RowFile(path, layout, **opened)
    for place in places:
        file.append(record(place))
    return file


@pytest.mark.parametrize("kind", LAYOUTS)
def test_results_that_came_in_any_order_are_sorted_at_the_end(tmp_path, kind):
    path, order = tmp_path / "new" / f"out.{kind}", [3, 0, 11, 4, 7, 2]
    file = written(path, LAYOUTS[kind], order)
    assert file.indices.tolist() == order
    assert file.num_errors == 1
    file.sort()
    assert file.indices.tolist() == sorted(order)
    file.append(record(9))
    file.close()
    expected = [record(place) for place in [*sorted(order), 9]]
    if kind == "jsonl":
        assert [json.loads(line) for line in path.read_bytes().splitlines()] == expected
    else:
        assert path.read_bytes() == independent_csv(expected)
    with closing(RowFile(path, LAYOUTS[kind], is_whole=True)) as again:
        assert again.indices.tolist() == [*sorted(order), 9]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", LAYOUTS)
@given(cut=st.floats(0, 1), num=st.integers(1, 12), seed=st.integers(0, 99))
def test_a_file_cut_at_any_byte_keeps_whole_inputs_and_ends_as_if_undisturbed(
    tmp_path_factory, kind, cut, num, seed
):
    folder, layout = tmp_path_factory.mktemp("cut"), LAYOUTS[kind]
    order = np.random.default_rng(seed).permutation(num).tolist()
    with closing(written(folder / "whole", layout, order)) as whole:
        whole.sort()
    path = folder / "cut"
    written(path, layout, order).close()
    content = path.read_bytes()
    path.write_bytes(content[: int(cut * len(content))])
    with closing(RowFile(path, layout)) as again:
        kept = again.indices.tolist()
        assert kept == order[: len(kept)]
        # At most the input that was cut is lost, and of a table the last one.
        ends = np.cumsum([len(layout.header)] + [len(layout.encode(record(p))) for p in order])
        num_whole = max(0, int((ends <= int(cut * len(content))).sum()) - 1)
        assert num_whole - (kind == "csv") <= len(kept) <= num_whole
        for place in order:
            if place not in kept:
                again.append(record(place))
        again.sort()
    assert path.read_bytes() == (folder / "whole").read_bytes()


def test_failures_can_be_taken_out(tmp_path):
    file = written(tmp_path / "out.csv", TABLE, [4, 1, 9, 0])
    assert file.num_errors == 2
    file.sort(without_errors=True)
    assert file.indices.tolist() == [0, 1]
    file.close()
    assert (tmp_path / "out.csv").read_bytes() == independent_csv([record(0), record(1)])


@pytest.mark.parametrize("content", ["video,score\na,1\n", '{"video": "a"}\n', "x" * 200 + "\n"])
@pytest.mark.parametrize("kind", LAYOUTS)
def test_another_content_is_refused_and_kept(tmp_path, kind, content):
    path = tmp_path / "out"
    path.write_text(content)
    with pytest.raises(RowFileError, match="has another content than results of this command"):
        RowFile(path, LAYOUTS[kind])
    assert path.read_text() == content


def test_a_table_that_was_damaged_in_its_middle_is_refused_and_kept(tmp_path):
    path = tmp_path / "out.csv"
    written(path, TABLE, [0, 1, 2]).close()
    damaged = path.read_bytes().replace(b"0.mp4", b"0.mp4,more", 1)
    path.write_bytes(damaged)
    with pytest.raises(RowFileError, match=r"the row at byte \d+ has 5 fields"):
        RowFile(path, TABLE)
    assert path.read_bytes() == damaged


def test_two_processes_cannot_write_one_file(tmp_path, project):
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    path = tmp_path / "out.jsonl"
    program = (
        "import sys; from pathlib import Path\n"
        "from gcvideo.command.results._row_file import RowFile, delete_free\n"
        "from gcvideo.command.results._row_layout import JsonLines\n"
        "path = Path(sys.argv[1])\n"
        "for work in (lambda: RowFile(path, JsonLines()), lambda: delete_free(path)):\n"
        "    try: work()\n"
        "    except ValueError as error: print(error)\n"
    )

    def other():
        words = [sys.executable, "-c", program, str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=project)
        return done.stdout.splitlines()

    file = written(path, JsonLines(), [1, 0])
    refused = (
        f"'{path}' is being written by another process; wait for it or stop it, or give another"
    )
    assert [line.startswith(refused) for line in other()] == [True, True]
    file.sort()  # into another file, which is locked as well
    assert len(other()) == 2
    file.close()
    assert other() == []
    assert not path.exists()


def test_a_full_disk_leaves_whole_inputs(tmp_path, monkeypatch):
    file = written(tmp_path / "out.jsonl", JsonLines(), [0])
    write_all = row_file.write_all

    def fail(target, content):
        write_all(target, content[:7])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(row_file, "write_all", fail)
    with pytest.raises(OutputError, match="no space is left on the file system; make it writable"):
        file.append(record(1))
    file.close()
    assert (tmp_path / "out.jsonl").read_bytes() == JsonLines().encode(record(0))


def test_a_file_that_nobody_writes_is_deleted(tmp_path):
    written(tmp_path / "out.jsonl", JsonLines(), [0]).close()
    delete_free(tmp_path / "out.jsonl")
    delete_free(tmp_path / "out.jsonl")
    assert not list(tmp_path.iterdir())
