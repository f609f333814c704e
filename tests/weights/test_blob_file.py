import pickle

import numpy as np
import pytest
import torch

from gcvideo.weights._blob_file import read_blobs
from gcvideo.weights._state_file import WeightsError, read_state_file


def python_2_pickle():
    """As Python 2 writes it: {"blobs": {"conv1_w": [[0, 1, 2]] of float32, "model_iter": 7}}."""
    return (
        b"\x80\x02}q\x01U\x05blobsq\x02}q\x03(U\x07conv1_wq\x04cnumpy.core.multiarray\n_reconstruct\n"
        b"q\x05cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07(K\x01K\x01K\x03\x86cnumpy\ndtype\n"
        b"q\x08U\x02f4K\x00K\x01\x87Rq\t(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"U\x0c\x00\x00\x00\x00\x00\x00\x80?\x00\x00\x00@tbU\nmodel_iterq\nK\x07us."
    )


def test_caffe2_blobs_of_python_2_are_read(tmp_path):
    path = tmp_path / "c2.pkl"
    path.write_bytes(python_2_pickle())
    expected = pickle.loads(path.read_bytes(), encoding="latin1")["blobs"]
    assert expected["conv1_w"].tolist() == [[0, 1, 2]]
    file = read_state_file(path)
    assert file.tensors.keys() == {"conv1_w"}
    assert torch.equal(file.tensors["conv1_w"], torch.from_numpy(expected["conv1_w"]))
    assert file.notes == ("blob 'model_iter' is not an array and was left out",)


ARRAYS = {
    "half": np.float16([1.5, 2.5]),
    "double": np.arange(24.0).reshape(2, 3, 4),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "foreign": np.arange(6, dtype=">f4").reshape(3, 2),
    "count": np.array(2**40),
    "scalar": np.float32(0.25),
    "mask": np.array([True, False]),
    "bytes": np.arange(256, dtype=np.uint8),
}


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_arrays_of_caffe2_files_have_the_values_that_numpy_reads(tmp_path, protocol):
    path = tmp_path / "c2.pkl"
    path.write_bytes(pickle.dumps({"blobs": ARRAYS}, protocol=protocol))
    tensors = read_state_file(path).tensors
    assert tensors.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        native = torch.from_numpy(np.array(array, array.dtype.newbyteorder("=")))
        expected = native.float() if name == "half" else native
        torch.testing.assert_close(tensors[name], expected, rtol=0, atol=0)


def pickled(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"blobs": {"a": np.array([[1], "b"], dtype=object)}},
            "blob 'a' is an array of 'O8'; only",
        ),
        ({"blobs": {"a": np.array(["text"])}}, "blob 'a' is an array of 'U4'; only numbers"),
        (
            {"blobs": {"a": np.zeros(2, [("x", "f4")])}},
            "blob 'a' is an array of 'V4'; only numbers",
        ),
        ({"blobs": {"model_iter": 3}}, "has no state dict; expected tensors by parameter name"),
        ({"weights": np.ones(2)}, r'a pickle must hold \{"blobs"'),
        ([1, 2], r'a pickle must hold \{"blobs"'),
    ],
)
def test_pickles_without_usable_blobs_are_refused(tmp_path, content, message):
    with pytest.raises(WeightsError, match=message):
        read_state_file(pickled(content, tmp_path / "c2.pkl"))


def test_a_blob_of_too_few_bytes_is_refused(tmp_path):
    path = tmp_path / "c2.pkl"
    path.write_bytes(python_2_pickle().replace(b"K\x01K\x03\x86", b"K\x02K\x03\x86"))
    with pytest.raises(WeightsError, match=r"blob 'conv1_w' has 12 bytes for the shape \(2, 3\)"):
        read_state_file(path)


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "numpy.load", "functools.partial"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_no_global_outside_the_list_is_reached(tmp_path, name, protocol):
    module, function = name.split(".")
    path = tmp_path / "c2.pkl"
    call = {
        2: f"c{module}\n{function}\n".encode(),
        4: b"".join(b"\x8c" + bytes([len(t)]) + t.encode() for t in (module, function)) + b"\x93",
    }
    path.write_bytes(b"\x80" + bytes([protocol]) + call[protocol] + b"K\x01\x85R.")
    with pytest.raises(pickle.UnpicklingError, match=f"GLOBAL {name} "):
        read_blobs(path)
    with pytest.raises(WeightsError, match=rf"it refers to '{name}', which could run code"):
        read_state_file(path)
