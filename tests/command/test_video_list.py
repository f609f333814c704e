import io
import os
import re
import sys

import pytest

from gcvideo.command._video_list import find_all_videos, find_videos


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two videos, one of them beside the list; the working folder is another one."""
    (tmp_path / "lists").mkdir()
    for name in ("lists/b c.mp4", "here/a.mp4", "here/#1.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def write(folder, content, name="videos.txt"):
    path = folder / "lists" / name
    path.write_bytes(content)
    return path


def test_a_list_names_videos_from_its_own_folder_or_the_working_folder(folder):
    rows = f"# chosen by hand\r\n\r\na.mp4\r\n  b c.mp4 \r\n{folder}/here/a.mp4\r\n#1.mp4\r\n"
    path = write(folder, b"\xef\xbb\xbf" + rows.encode())
    expected = ["a.mp4", str(folder / "lists/b c.mp4"), str(folder / "here/a.mp4"), "#1.mp4"]
    assert find_videos(str(path)) == expected


def test_the_folder_of_a_list_comes_first(folder):
    (folder / "lists/a.mp4").write_bytes(b"")
    assert find_videos(str(write(folder, b"a.mp4"))) == [str(folder / "lists/a.mp4")]


@pytest.mark.parametrize("row", ["none.mp4", "a.mp4 3", "x" * 5000, "a\0b.mp4", "..", "<html>"])
def test_rows_that_name_no_file_are_counted_and_the_first_is_shown(folder, row):
    path = write(folder, f"a.mp4\n\n{row}\nother.mp4\n".encode())
    message = f"2 of the 3 rows of '{path}' name no file, the first row 3, {row[:200]!r}; write one"
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        find_videos(str(path))


@pytest.mark.parametrize("content", [b"", b"\n# nothing\n"])
def test_a_list_without_a_row_is_an_error(folder, content):
    with pytest.raises(FileNotFoundError, match="names no video; write one path per line"):
        find_videos(str(write(folder, content, "videos.TXT")))


@pytest.mark.skipif(os.name != "posix", reason="names are texts elsewhere")
def test_names_that_are_not_utf_8_are_found(folder):
    name = b"caf\xe9.mp4"
    try:
        (folder / "lists" / os.fsdecode(name)).write_bytes(b"")
    except OSError:
        pytest.skip("this file system knows UTF-8 names alone")
    assert find_videos(str(write(folder, name))) == [str(folder / "lists" / os.fsdecode(name))]


def test_other_texts_are_no_lists(folder):
    path = write(folder, b"a.mp4\n", "videos.nfo")
    assert find_videos(str(path)) == [str(path)]


@pytest.mark.parametrize(
    "content", ["video,label\na.mp4,3\n,4\n", "class;path\nx;a.mp4\n", "Filename\tn\na.mp4\t1\n"]
)
def test_a_table_names_videos_in_a_column(folder, content):
    assert find_videos(str(write(folder, content.encode(), "videos.csv"))) == ["a.mp4"]


def test_a_table_without_such_a_column_is_refused(folder):
    path = write(folder, b"id,name\n1,a.mp4\n", "videos.tsv")
    with pytest.raises(
        ValueError, match="has the columns id, name; name that of the paths 'video'"
    ):
        find_videos(str(path))


def test_the_standard_input_is_a_list(folder, monkeypatch):
    sent = io.TextIOWrapper(io.BytesIO(b"# two\na.mp4\nnone.mp4\n#1.mp4"))
    monkeypatch.setattr(sys, "stdin", sent)
    found = find_all_videos(["-"])
    assert list(found.paths) == ["a.mp4", "none.mp4", "#1.mp4"]
    assert found.missing == {1: "no video at 'none.mp4' (row 3 of the standard input)"}


def test_a_keyboard_is_no_list(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(ValueError, match="video is -, but nothing is sent to the standard input"):
        find_videos("-")


def test_each_video_counts_once_in_the_place_where_it_comes_first(folder):
    listed = write(folder, b"a.mp4\nnone.mp4\nb c.mp4\na.mp4\n")
    found = find_all_videos(["#1.mp4", str(listed), "*.mp4", "gone", "none.mp4", "gone"])
    expected = ["#1.mp4", "a.mp4", "none.mp4", str(folder / "lists/b c.mp4"), "gone"]
    assert list(found.paths) == expected
    assert list(found.missing) == [2, 4]
    assert found.missing[2] == f"no video at 'none.mp4' (row 2 of '{listed}')"


def test_a_list_of_nothing_but_wrong_rows_shows_the_first(folder):
    listed = write(folder, "".join(f"{n}.mp4\n" for n in range(12)).encode())
    with pytest.raises(FileNotFoundError, match=r"no video at '0\.mp4'(?s:.*)and 2 more$"):
        find_all_videos([str(listed)])
