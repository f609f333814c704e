import os
import re

import pytest

from gcvideo.command._video_list import find_videos


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
