import multiprocessing
import os
import pickle
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcvideo.data.listing._array_file import Ragged, write_arrays
from gcvideo.data.video._container import VideoReadError
from gcvideo.data.video._decoding import VideoReader
from gcvideo.data.video._frame_index import FrameIndex, index_path, index_video, write_index

NAMES = ("h264.mp4", "h264_open_gop.mkv", "hevc.mp4", "mpeg4_bframes.avi", "vp9.webm")


@pytest.fixture
def folder(make_video, tmp_path):
    for name in NAMES:
        shutil.copy(make_video(name), tmp_path / name)
    (tmp_path / "broken é.mp4").write_bytes(b"<!DOCTYPE html>")
    return tmp_path


def made_index(folder):
    paths = sorted(path.name for path in folder.glob("*.*"))
    write_index(folder / "index", [index_video(path, str(folder / path)) for path in paths])
    return FrameIndex(folder / "index")


def find(index, folder, path):
    return index.find(path, str(folder / path))


@pytest.mark.parametrize("name", NAMES)
def test_a_timeline_comes_back_as_it_was_read(folder, name):
    found = find(made_index(folder), folder, name)
    with VideoReader(folder / name) as reader:
        expected = reader.timeline
    assert found is not None
    assert found.info == expected.info
    assert found.skips_unwanted == expected.skips_unwanted
    assert np.array_equal(found.keyframes, expected.keyframes)
    assert found.is_direct == expected.is_direct
    assert found.time_base == expected.time_base
    assert np.array_equal(found.stamps, expected.stamps)


def test_uneven_time_stamps_come_back_too(shared_data, tmp_path):
    shutil.copy(shared_data / "zoo/made/vfr_gap_2s.mp4", tmp_path / "vfr.mp4")
    found = find(made_index(tmp_path), tmp_path, "vfr.mp4")
    with VideoReader(tmp_path / "vfr.mp4") as reader:
        expected = reader.timeline.stamps
    assert found is not None
    assert len(np.unique(np.diff(expected))) > 1
    assert np.array_equal(found.stamps, expected)


def test_a_video_that_changed_is_not_found(folder):
    index = made_index(folder)
    file = folder / "h264.mp4"
    assert index.is_current("h264.mp4", str(file))
    state = file.stat()
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert find(index, folder, "h264.mp4") is None
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert find(index, folder, "h264.mp4") is not None
    with file.open("ab") as stream:
        stream.write(b"x")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert not index.is_current("h264.mp4", str(file))
    file.unlink()
    assert find(index, folder, "h264.mp4") is None


def test_what_cannot_be_read_is_known_without_opening_it(folder):
    index = made_index(folder)
    with pytest.raises(VideoReadError, match=r"looks like an HTML page, .*; download it again"):
        find(index, folder, "broken é.mp4")
    assert not index.is_current("broken é.mp4", str(folder / "broken é.mp4"))


def test_what_is_not_listed_is_not_found(folder):
    assert find(made_index(folder), folder, "other.mp4") is None


def test_a_refresh_keeps_the_rest(folder):
    index = made_index(folder)
    file = folder / "hevc.mp4"
    shutil.copy(folder / "h264.mp4", file)
    write_index(folder / "new", [index_video("hevc.mp4", str(file))], index)
    new = FrameIndex(folder / "new")
    assert len(new) == len(index) == len(NAMES) + 1
    replaced, other = find(new, folder, "hevc.mp4"), find(new, folder, "h264.mp4")
    assert replaced is not None
    assert other is not None
    assert np.array_equal(replaced.keyframes, other.keyframes)
    for name in NAMES:
        if name != "hevc.mp4":
            ours, theirs = find(new, folder, name), find(index, folder, name)
            assert ours is not None
            assert theirs is not None
            assert ours.info == theirs.info


def _num_frames(index, folder):
    found = find(index, folder, "h264.mp4")
    return 0 if found is None else found.info.num_frames


def test_an_index_travels_as_its_path(folder):
    index = made_index(folder)
    assert len(pickle.dumps(index)) < 1000
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_num_frames, (index, folder)) == 60


def test_an_index_of_another_version_or_none_is_refused(folder):
    write_arrays(folder / "old", {"hash": np.zeros(1)}, {"gcvideo_index": "0"})
    with pytest.raises(ValueError, match=r"not a frame index of this version .*gcvideo index"):
        FrameIndex(folder / "old")
    (folder / "torn").write_bytes(b"123")
    with pytest.raises(ValueError, match="delete it and it will be made again"):
        FrameIndex(folder / "torn")


def test_an_index_belongs_to_its_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GCVIDEO_CACHE", str(tmp_path / "cache"))
    assert FrameIndex.of_root(tmp_path) is None
    write_index(index_path(tmp_path), [index_video("none.mp4", str(tmp_path / "none.mp4"))])
    monkeypatch.chdir(tmp_path)
    for name in (tmp_path, ".", str(tmp_path) + "/x/.."):
        assert len(FrameIndex.of_root(name) or ()) == 1
    assert FrameIndex.of_root(tmp_path.parent) is None


ROWS = st.lists(st.lists(st.integers(-5, 5), max_size=4), max_size=6)


@given(ROWS, ROWS, st.data())
def test_ragged_rows_are_lists_in_one_array(first, second, data):
    both = Ragged.from_rows(first, np.int64).followed_by(Ragged.from_rows(second, np.int64))
    rows = first + second
    assert [both.row(i).tolist() for i in range(len(rows))] == rows
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1)) if rows else st.just([]))
    taken = both.take(np.array(chosen, np.int64))
    assert [taken.row(i).tolist() for i in range(len(chosen))] == [rows[i] for i in chosen]
