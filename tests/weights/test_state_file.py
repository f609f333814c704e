import pickle
import sys
import zipfile
from collections import OrderedDict
from functools import partial
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gcvideo.weights._state_file import WeightsError, read_state_file

CONFIG = "MODEL:\n  ARCH: slow\n"
legacy_save = partial(torch.save, _use_new_zipfile_serialization=False)


def state():
    net = nn.Sequential(nn.Conv3d(2, 3, 1), nn.BatchNorm3d(3))
    for number, parameter in enumerate(net.parameters()):
        nn.init.constant_(parameter, number + 0.25)
    return net.state_dict()


def prefixed(prefix, tensors=None):
    return {f"{prefix}{key}": value for key, value in (tensors or state()).items()}


def write(path, content, save=torch.save):
    save(content, path)
    return path


def assert_is(tensors, expected):
    torch.testing.assert_close(dict(tensors), dict(expected), rtol=0, atol=0)


@pytest.mark.parametrize("save", [torch.save, legacy_save, save_file])
@pytest.mark.parametrize(
    "name", ["w.pth", "w.pyth", "w.ckpt", "w.pt", "w.safetensors", "w.pkl", "w"]
)
def test_the_content_decides_on_the_format_not_the_suffix(tmp_path, save, name):
    file = read_state_file(write(tmp_path / name, state(), save))
    assert_is(file.tensors, state())
    assert file.tensors["1.num_batches_tracked"].dtype == torch.int64
    assert (file.config, file.notes) == (None, ())


@pytest.mark.parametrize(
    ("wrap", "notes"),
    [
        (lambda s: {"state_dict": s, "epoch": 3}, ["unwrapped from 'state_dict'"]),
        (lambda s: {"model_state": OrderedDict(s)}, ["unwrapped from 'model_state'"]),
        (lambda s: {"model": s, "optimizer": {}}, ["unwrapped from 'model'"]),
        (lambda s: {"model": "slow_r50", "state_dict": s}, ["unwrapped from 'state_dict'"]),
        (lambda s: {"model": {"depth": 50}, "state_dict": s}, ["unwrapped from 'state_dict'"]),
        (
            lambda s: {"model": {"state_dict": s}},
            ["unwrapped from 'model'", "unwrapped from 'state_dict'"],
        ),
        (partial(prefixed, "module."), ["prefix 'module.' removed"]),
        (partial(prefixed, "model."), ["prefix 'model.' removed"]),
        (partial(prefixed, "model.net."), ["prefix 'model.net.' removed"]),
        (
            partial(prefixed, "module.model.module."),
            ["prefix 'module.' removed", "prefix 'model.' removed", "prefix 'module.' removed"],
        ),
        (
            lambda s: {"state_dict": prefixed("module.", s)},
            ["unwrapped from 'state_dict'", "prefix 'module.' removed"],
        ),
    ],
)
def test_wrappers_and_prefixes_are_removed_and_told(tmp_path, wrap, notes):
    file = read_state_file(write(tmp_path / "w.pth", wrap(state())))
    assert_is(file.tensors, state())
    assert list(file.notes) == notes


def test_our_checkpoints_keep_what_lies_beside_the_net(tmp_path):
    beside = {"mean": torch.ones(3), "std": torch.ones(3)}
    content = prefixed("model.net.") | prefixed("model.", beside) | {"loss.weight": torch.ones(2)}
    file = read_state_file(write(tmp_path / "ours.ckpt", {"state_dict": content}))
    assert_is(file.tensors, state() | beside | {"loss.weight": torch.ones(2)})


@pytest.mark.parametrize("prefix", ["module.", "model."])
def test_a_prefix_that_some_names_lack_stays(tmp_path, prefix):
    content = prefixed(prefix) | {"head.weight": torch.ones(2)}
    assert_is(read_state_file(write(tmp_path / "w.pth", content)).tensors, content)


def test_names_that_meet_without_their_prefixes_are_refused(tmp_path):
    content = {"model.net.a": torch.ones(1), "model.a": torch.zeros(1)}
    with pytest.raises(
        WeightsError,
        match=r"w\.pth' has 'model\.net\.a' and 'model\.a', which are one .*; remove",
    ):
        read_state_file(write(tmp_path / "w.pth", content))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("save", [torch.save, save_file])
def test_half_precision_becomes_single_and_all_else_stays(tmp_path, kind, save):
    content = {"half": torch.rand(4).to(kind), "double": torch.rand(4).double()}
    content["count"] = torch.tensor(2**40)
    file = read_state_file(write(tmp_path / "w", content, save))
    assert_is(file.tensors, content | {"half": content["half"].float()})
    assert file.notes == (f"{str(kind)[6:]} weights were read as float32",)


@pytest.mark.parametrize(
    "beside",
    [{"cfg": CONFIG}, {"meta": {"cfg": CONFIG, "epoch": 3}}, {"meta": {"config": CONFIG}}],
)
def test_the_configuration_is_read_as_text(tmp_path, beside):
    file = read_state_file(write(tmp_path / "w.pyth", {"model_state": state()} | beside))
    assert file.config == CONFIG
    assert_is(file.tensors, state())


@pytest.mark.parametrize("beside", [{"cfg": {"A": 1}}, {"meta": None}, {"meta": {"cfg": 3}}])
def test_another_kind_of_configuration_is_left(tmp_path, beside):
    path = write(tmp_path / "w.pyth", {"model_state": state()} | beside)
    assert read_state_file(path).config is None


class HistoryBuffer:
    """Pickled under the name of mmengine's, with numpy arrays and methods as that has them."""

    def __init__(self):
        self.log_history = np.arange(3.0)
        self.methods = {"mean": HistoryBuffer.mean}

    def mean(self):
        raise AssertionError


@pytest.mark.parametrize("save", [torch.save, legacy_save])
def test_what_mmengine_writes_beside_the_weights_does_no_harm(tmp_path, monkeypatch, save):
    module = ModuleType("mmengine.logging.history_buffer")
    module.HistoryBuffer = HistoryBuffer
    with monkeypatch.context() as patch:
        for name in ("mmengine", "mmengine.logging", module.__name__):
            patch.setitem(sys.modules, name, module)
        for named in (HistoryBuffer, HistoryBuffer.mean):
            patch.setattr(named, "__module__", module.__name__)
        content = {
            "meta": {"cfg": CONFIG, "hook_msgs": {"best_score": np.float64(0.75)}},
            "message_hub": {"log_scalars": {"loss": HistoryBuffer()}},
            "state_dict": state(),
        }
        path = write(tmp_path / "epoch_3.pth", content, save)
    before = torch.serialization.get_safe_globals()
    file = read_state_file(path)
    assert_is(file.tensors, state())
    assert file.config == CONFIG
    assert set(torch.serialization.get_safe_globals()) == set(before)


def test_an_array_among_the_weights_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"expected tensors by parameter name, and 'a' is"):
        read_state_file(write(tmp_path / "w.pth", {"a": np.ones(3)}))


def pickled(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("wrap", [lambda o: o, lambda o: {"blobs": {"a": o}}])
@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("zip.pth", torch.save),
        ("legacy.pth", legacy_save),
        ("raw.pth", pickled),
        ("c2.pkl", pickled),
    ],
)
def test_code_in_a_file_is_named_and_not_run(tmp_path, name, save, wrap):
    trace = tmp_path / "trace"
    save(wrap(Harmful(trace)), tmp_path / name)
    with pytest.raises(
        WeightsError,
        match=rf"{name}' cannot be read as weights: it refers to '(_?io\.)?open', which could .*; if",
    ):
        read_state_file(tmp_path / name)
    assert not trace.exists()


def test_a_pickled_net_is_refused_with_its_class(tmp_path):
    with pytest.raises(
        WeightsError, match=r"refers to 'torch\.nn.*Linear'.*save only model\.state_dict\(\)"
    ):
        read_state_file(write(tmp_path / "net.pth", nn.Linear(2, 3)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"w\.pth' cannot be read as weights: it is empty; download or copy it again"),
        (
            b"<!DOCTYPE html><html>Sign in",
            "it is a web page, such as a login page or a 'not found'; d",
        ),
        (b"\xef\xbb\xbf\n <HTML>404", "it is a web page"),
        (b'<?xml version="1.0"?><Error/>', "it is a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
            "it is a Git LFS pointer instead of the file; run `git lfs pull` where it lies",
        ),
        (
            b"hello world",
            r"it starts with b'hello wo', which is neither .*; check the path, and unpack",
        ),
        (b"\x1f\x8b\x08\x00", r"it starts with b'\\x1f\\x8b"),
    ],
)
def test_files_of_another_kind_are_told_apart(tmp_path, content, message):
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_state_file(path)


@pytest.mark.parametrize("save", [torch.save, legacy_save, save_file, pickled])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_truncated_file_is_refused_with_its_size(tmp_path, save, share):
    path = tmp_path / "w"
    if save is pickled:
        save({"blobs": {"a": np.arange(100.0)}}, path)
    else:
        save(state(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(
        WeightsError,
        match=rf"w' cannot be read as weights \(.*\); it has {int(len(content) * share)} bytes: if that "
        "is too few, download",
    ):
        read_state_file(path)


def test_an_archive_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(WeightsError, match=r"cannot be read as weights \(.*; it must be a file of"):
        read_state_file(tmp_path / "w.pth")


def test_an_absent_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(WeightsError, match=r"no weights at '.*none\.pth'; check the path"):
        read_state_file(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="' is a folder; give the file of weights in it"):
        read_state_file(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "has no state dict; expected tensors by parameter name"),
        ([1, 2], "has no state dict; expected tensors by parameter name"),
        ({"epoch": 3}, "expected tensors by parameter name, and 'epoch' is int"),
        ({"state_dict": {"a": "b"}}, "'a' is str"),
        ({"state_dict": {}}, "has no state dict"),
        (
            {"state_dict": {"a": torch.ones(1)}, "model": {"a": torch.zeros(1)}},
            r"has several state dicts \(state_dict, model\); save the one that you want in a file",
        ),
    ],
)
def test_a_file_without_one_state_dict_is_refused(tmp_path, content, message):
    with pytest.raises(WeightsError, match=message):
        read_state_file(write(tmp_path / "w.pth", content))
