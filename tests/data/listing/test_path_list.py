import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcvideo.data.listing import _array_file as array_file
from gcvideo.data.listing import _path_list as path_list
from gcvideo.data.listing._path_list import PathList

# Lone surrogates too, which stand for the bytes of file names that are no UTF-8.
TEXTS = st.lists(st.text(st.characters(), max_size=8), max_size=12)


@given(TEXTS)
def test_a_list_equals_what_it_was_made_from(texts):
    paths = PathList.of(texts)
    assert len(paths) == len(texts)
    assert list(paths) == texts
    assert [paths[i] for i in range(-len(texts), len(texts))] == texts + texts
    assert paths == texts
    assert paths == tuple(texts)
    assert paths == PathList.of(iter(texts))
    assert paths != [*texts, ""]
    assert paths != PathList.of([*texts, ""])
    assert pickle.loads(pickle.dumps(paths)) == paths


def test_file_names_that_are_no_utf8_survive():
    name = b"caf\xe9 \xff.mp4".decode("utf-8", "surrogateescape")
    assert PathList.of([name])[0].encode("utf-8", "surrogateescape") == b"caf\xe9 \xff.mp4"


@given(st.data())
def test_taking_is_indexing_one_by_one(data):
    texts = data.draw(TEXTS.filter(len))
    chosen = data.draw(st.lists(st.integers(-len(texts), len(texts) - 1)))
    expected = [texts[i] for i in chosen]
    assert PathList.of(texts).take(chosen) == expected
    assert PathList.of(texts).take(np.array(chosen, dtype=np.int64)) == expected


def test_taking_goes_over_the_rows_in_parts(monkeypatch):
    monkeypatch.setattr(array_file, "_ROWS_AT_ONCE", 3)
    texts = [f"{'x' * (i % 4)}{i}" for i in range(10)]
    for stop in range(11):
        assert PathList.of(texts).take(range(stop)[::-1]) == texts[:stop][::-1]


def test_a_slice_is_a_list_and_a_text_of_its_letters_is_no_equal():
    paths = PathList.of(["a", "", "c", "d"])
    assert paths[1:3] == ("", "c")
    assert paths[::-2] == ("d", "")
    assert "c" in paths
    assert paths.index("d") == 3
    assert PathList.of(["a", "b"]) != "ab"
    assert PathList.of(["a", "b"]) != 2
    assert PathList.of(["ab", ""]) != PathList.of(["a", "b"])


@pytest.mark.parametrize("index", [2, -3, 100])
def test_what_is_not_in_the_list_is_named(index):
    with pytest.raises(IndexError, match=f"no path {index} in a list of 2; count from 0"):
        PathList.of(["a", "b"])[index]
    with pytest.raises(IndexError):
        PathList.of(["a", "b"]).take([index])


def test_the_arrays_cannot_be_written():
    paths = PathList.of(["a", "b"])
    for values in (paths.text, paths.offsets):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 1


def test_offsets_take_four_bytes_until_they_need_eight():
    assert PathList.of(["a", "b"]).offsets.dtype == np.uint32
    beyond = np.array([0, 2**32], dtype=np.int64)
    assert path_list._narrow(beyond).dtype == np.int64
    np.testing.assert_array_equal(path_list._narrow(beyond), beyond)
