import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from safetensors import SafetensorError
from safetensors.numpy import load_file

from gcvideo.data.listing import _array_file as array_file
from gcvideo.data.listing._array_file import ArrayFile, write_arrays

DTYPES = st.one_of(
    arrays_of.boolean_dtypes(),
    arrays_of.integer_dtypes(endianness="<"),
    arrays_of.unsigned_integer_dtypes(endianness="<"),
    arrays_of.floating_dtypes(endianness="<", sizes=(16, 32, 64)),
)
ARRAYS = arrays_of.arrays(DTYPES, arrays_of.array_shapes(min_dims=0, min_side=0))
REMEDY = "delete it and it will be made again"


@given(
    content=st.dictionaries(st.text("abc", min_size=1), ARRAYS, max_size=4),
    metadata=st.dictionaries(st.text("xyz"), st.text()),
)
def test_the_library_reads_the_same_file_as_we_do(tmp_path_factory, content, metadata):
    path = tmp_path_factory.getbasetemp() / "same.safetensors"
    write_arrays(path, content, metadata)
    ours, theirs = ArrayFile(path), load_file(path)
    assert {*ours} == {*theirs} == {*content}
    assert ours.metadata == metadata
    for name, array in content.items():
        assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(ours[name], theirs[name])
        np.testing.assert_array_equal(ours[name], array)


def test_any_strides_are_written_as_the_values_they_show(tmp_path):
    grid = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    write_arrays(tmp_path / "a", {"turned": grid.T, "thinned": grid[:, ::-2]})
    file = ArrayFile(tmp_path / "a")
    np.testing.assert_array_equal(file["turned"], grid.T)
    np.testing.assert_array_equal(file["thinned"], grid[:, ::-2])


def test_arrays_are_views_of_the_file_that_cannot_be_written(tmp_path):
    write_arrays(tmp_path / "a", {"x": np.arange(5)})
    values = ArrayFile(tmp_path / "a")["x"]
    assert not values.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 1


def _sum(file):
    return int(file["x"].sum())


def test_a_pickle_is_the_path_and_opens_in_a_new_interpreter(tmp_path):
    write_arrays(tmp_path / "a", {"x": np.arange(1_000_000)}, {"unit": "s"})
    file = ArrayFile(tmp_path / "a")
    assert len(pickle.dumps(file)) < 500
    again = pickle.loads(pickle.dumps(file))
    assert (again.path, again.metadata, len(again)) == (file.path, {"unit": "s"}, 1)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(_sum, file).result() == sum(range(1_000_000))


def test_replacing_a_file_leaves_its_readers_what_they_had(tmp_path):
    write_arrays(tmp_path / "a", {"x": np.zeros(3)})
    before = ArrayFile(tmp_path / "a")
    write_arrays(tmp_path / "a", {"x": np.ones(3)})
    assert before["x"].tolist() == [0, 0, 0]
    assert ArrayFile(tmp_path / "a")["x"].tolist() == [1, 1, 1]


def _write_often(path, value):
    for _ in range(40):
        write_arrays(path, {"x": np.full(20_000, value)})


@pytest.mark.slow
def test_two_processes_may_write_at_once(tmp_path):
    path = tmp_path / "a"
    _write_often(path, 0)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_often, args=(path, value)) for value in (1, 2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert len(np.unique(ArrayFile(path)["x"])) == 1
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_others_may_read_a_file_as_the_mask_allows(tmp_path):
    (tmp_path / "usual").touch()
    write_arrays(tmp_path / "a", {"x": np.zeros(3)})
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("kept", [0, 5, 30, -1])
def test_a_file_cut_short_is_named(tmp_path, kept):
    path = tmp_path / "a"
    write_arrays(path, {"x": np.arange(9)})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=rf"a' is not a complete safetensors file .*; {REMEDY}"):
        ArrayFile(path)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (b'"I64"', b'"X64"'),
        (b"[9]", b"[8]"),
        (b"dtype", b"dtyqe"),
        (b'{"x"', b"[1, 2"),
        (b"72]", b"]  "),
    ],
)
def test_a_damaged_header_is_named(tmp_path, right, wrong):
    path = tmp_path / "a"
    write_arrays(path, {"x": np.arange(9)})
    content = path.read_bytes()
    assert right in content
    path.write_bytes(content.replace(right, wrong))
    with pytest.raises(ValueError, match=REMEDY):
        ArrayFile(path)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    def full(*_):
        raise SafetensorError("No space left")

    write_arrays(tmp_path / "a", {"x": np.arange(9)})
    monkeypatch.setattr(array_file, "save_file", full)
    with pytest.raises(
        OSError, match=r"a' cannot be written \(No space left\); make room or choose"
    ):
        write_arrays(tmp_path / "a", {"x": np.arange(3)})
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    assert len(ArrayFile(tmp_path / "a")["x"]) == 9
    with pytest.raises(FileNotFoundError):
        write_arrays(tmp_path / "none" / "a", {"x": np.arange(3)})
