import pickle
from functools import partial

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gcvideo.models import (
    LoadReport,
    Placement,
    Weights,
    WeightsError,
    checkpoint_weights,
    load_weights,
    slow_resnet,
)
from gcvideo.models.weights import BLOCKS, HEAD, read_state_dict
from gcvideo.nn import global_context


def small():
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))


def weights_of(state, **arguments):
    return Weights(
        name="test", read=lambda: state, convert=lambda source, target: dict(source), **arguments
    )


def test_everything_is_loaded_and_reported():
    source, net = small(), small()
    report = load_weights(net, weights_of(source.state_dict()))
    assert report == LoadReport("test", tuple(source.state_dict()), (), ())
    torch.testing.assert_close(net.state_dict(), source.state_dict(), rtol=0, atol=0)


def test_conversion_sees_source_and_target():
    source, net = small(), small()

    def convert(state, target):
        assert target.keys() == net.state_dict().keys()
        return {
            k.removeprefix("old."): v.view(target[k.removeprefix("old.")].shape)
            for k, v in state.items()
        }

    flat = {f"old.{k}": v.flatten() for k, v in source.state_dict().items()}
    load_weights(net, Weights(name="test", read=lambda: flat, convert=convert))
    torch.testing.assert_close(net.state_dict(), source.state_dict(), rtol=0, atol=0)


def changed(**changes):
    state = small().state_dict() | {k.replace("_", ".", 1): v for k, v in changes.items()}
    return {k: v for k, v in state.items() if v is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"1_bias": None}, r"'test' do not fit the net: 1 missing \(1\.bias\); choose"),
        ({"2_bias": torch.zeros(4)}, r"1 unexpected \(2\.bias\)"),
        ({"1_bias": torch.zeros(5)}, r"1 of another shape \(1\.bias\)"),
        (
            {"1_bias": None, "2_bias": torch.zeros(1)},
            r"1 missing \(1\.bias\); 1 unexpected \(2\.bias\)",
        ),
        (
            {"0_weight": None, "0_bias": None, "1_weight": None},
            r"3 missing \(0\.weight, 0\.bias, 1\.weight\)",
        ),
        (
            {
                "2_a": torch.zeros(1),
                "2_b": torch.zeros(1),
                "2_c": torch.zeros(1),
                "2_d": torch.zeros(1),
            },
            r"4 unexpected \(2\.a, 2\.b, 2\.c, \.\.\.\)",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(changes, message):
    net = small()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(WeightsError, match=message):
        load_weights(net, weights_of(changed(**changes)))
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)


def test_fresh_patterns_excuse_missing_and_other_shapes():
    net = small()
    bias = net[1].bias.detach().clone()
    state = changed(**{"1_bias": None, "1_weight": torch.zeros(7, 3)})
    report = load_weights(net, weights_of(state, fresh=["1.*"]))
    assert report.loaded == ("0.weight", "0.bias")
    assert report.fresh == ("1.weight", "1.bias")
    assert torch.equal(net[1].bias, bias)
    with pytest.raises(WeightsError, match=r"1 of another shape \(1\.weight\)"):
        load_weights(net, weights_of(state, fresh=["1.bias"]))


def test_ignored_patterns_excuse_what_the_net_lacks():
    state = changed(**{"2_bias": torch.zeros(4)})
    report = load_weights(small(), weights_of(state, ignored=["2.*"]))
    assert report.ignored == ("2.bias",)
    assert str(report) == "test: 4 tensors loaded, 0 fresh, 1 of the source ignored"


def test_weights_of_which_nothing_fits_are_refused():
    with pytest.raises(WeightsError, match="no tensor fits"):
        load_weights(small(), weights_of({}, fresh=["*"]))


PLACEMENT = Placement(block=partial(global_context, ratio=1 / 4), res4=[1])


def test_blocks_and_another_head_start_fresh_by_default(tmp_path):
    torch.save(slow_resnet(num_classes=10, width=4).state_dict(), tmp_path / "bare.pth")
    net = slow_resnet(num_classes=7, width=4, placement=PLACEMENT)
    report = load_weights(net, checkpoint_weights(str(tmp_path / "bare.pth")))
    blocks = {k for k in net.state_dict() if "branch_fusion" in k}
    assert set(report.fresh) == blocks | {"blocks.5.proj.weight", "blocks.5.proj.bias"}
    assert len(report.loaded) + len(report.fresh) == len(net.state_dict())
    with pytest.raises(WeightsError, match="2 of another shape"):
        load_weights(net, checkpoint_weights(str(tmp_path / "bare.pth"), fresh=BLOCKS))
    with pytest.raises(WeightsError, match=f"{len(blocks)} missing"):
        load_weights(net, checkpoint_weights(str(tmp_path / "bare.pth"), fresh=HEAD))


def test_weights_of_another_width_are_refused(tmp_path):
    torch.save(slow_resnet(num_classes=10, width=8).state_dict(), tmp_path / "wide.pth")
    with pytest.raises(WeightsError, match="choose the architecture, depth and width"):
        load_weights(
            slow_resnet(num_classes=10, width=4), checkpoint_weights(str(tmp_path / "wide.pth"))
        )


def prefixed(state, prefix):
    return {f"{prefix}{k}": v for k, v in state.items()}


@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        (
            "ours.ckpt",
            lambda s: {"state_dict": prefixed(s, "model.net.") | {"model.mean": torch.ones(3)}},
        ),
        ("hub.pyth", lambda s: {"epoch": 3, "model_state": s}),
        ("slowfast.pyth", lambda s: {"model_state": prefixed(s, "model.")}),
        ("plain.pth", dict),
    ],
)
def test_torch_checkpoints_round_trip(tmp_path, name, wrap):
    source = slow_resnet(num_classes=7, width=4, placement=PLACEMENT)
    torch.save(wrap(source.state_dict()), tmp_path / name)
    net = slow_resnet(num_classes=7, width=4, placement=PLACEMENT)
    report = load_weights(net, checkpoint_weights(str(tmp_path / name), fresh=[]))
    assert report.fresh == ()
    assert report.ignored == (("mean",) if name == "ours.ckpt" else ())
    torch.testing.assert_close(net.state_dict(), source.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("prefix", ["", "model.net."])
def test_safetensors_round_trip(tmp_path, prefix):
    source, net = (slow_resnet(num_classes=7, width=4, placement=PLACEMENT) for _ in range(2))
    path = tmp_path / "net.safetensors"
    save_file(prefixed(source.state_dict(), prefix), path)
    assert read_state_dict(path).keys() == source.state_dict().keys()
    load_weights(net, checkpoint_weights(str(path), fresh=[]))
    torch.testing.assert_close(net.state_dict(), source.state_dict(), rtol=0, atol=0)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"no weights at '.*none\.pth'; check the path"):
        read_state_dict(tmp_path / "none.pth")


@pytest.mark.parametrize("name", ["page.pth", "page.safetensors"])
def test_an_unreadable_file_is_named(tmp_path, name):
    (tmp_path / name).write_text("<html>not found</html>")
    with pytest.raises(WeightsError, match=r"page\.\w+' cannot be read as weights"):
        read_state_dict(tmp_path / name)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"state_dict": {"a": "b"}}])
def test_a_file_without_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(
        WeightsError, match="holds no state dict; expected tensors by parameter name"
    ):
        read_state_dict(tmp_path / "other.pth")


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("save", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o))])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, save):
    trace = tmp_path / "trace"
    save({"state_dict": Harmful(trace)}, tmp_path / "bad.pth")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        read_state_dict(tmp_path / "bad.pth")
    assert not trace.exists()
