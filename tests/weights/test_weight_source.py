import json
from dataclasses import replace
from functools import partial

import pytest
import torch
from peer_layout import CAFFE2, MMACTION2, PYSLOWFAST, SLOW, Peer, random_state
from safetensors.torch import save_file

from gcvideo.models import ClipClassifier, Placement, slow_resnet
from gcvideo.nn import NonLocalBlock, global_context
from gcvideo.weights import (
    NetChoice,
    WeightsError,
    checkpoint_weights,
    convert,
    load_weights,
    published_weights,
)
from gcvideo.weights import _weight_source as weight_source
from gcvideo.weights._zoo import published_record

PLACEMENT = Placement(block=partial(global_context, ratio=1 / 4), res4=[1])


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


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_our_files_name_the_classes_of_their_head(tmp_path, suffix):
    net, path = slow_resnet(num_classes=2, width=4), tmp_path / f"net{suffix}"
    product = {"classes": ["dark", "light"]}
    if suffix == ".ckpt":
        torch.save({"state_dict": net.state_dict(), "gcvideo": product}, path)
    else:
        save_file(net.state_dict(), path, metadata={"gcvideo": json.dumps(product)})
    assert checkpoint_weights(str(path)).classes == ("dark", "light")
    assert checkpoint_weights(str(path), classes=["a", "b"]).classes == ["a", "b"]
    assert checkpoint_weights(str(path), classes="kinetics400").classes[0] == "abseiling"


def test_a_net_starts_from_a_checkpoint_of_either_kind(tmp_path):
    model = ClipClassifier(slow_resnet(num_classes=2, width=4), mean=[0.4] * 3, std=[0.2] * 3)
    trained = {f"model.{key}": tensor for key, tensor in model.state_dict().items()}
    torch.save({"state_dict": trained, "gcvideo": {"classes": ["a", "b"]}}, tmp_path / "net.ckpt")
    metadata = {"gcvideo": json.dumps({"classes": ["a", "b"]})}
    whole = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    save_file(whole, tmp_path / "net.safetensors", metadata=metadata)
    for name in ("net.ckpt", "net.safetensors"):
        net = slow_resnet(weights=tmp_path / name, width=4)
        for key, tensor in model.net.state_dict().items():
            assert torch.equal(net.state_dict()[key], tensor), key


def test_files_of_others_name_no_classes_and_published_ones_do(tmp_path):
    torch.save(slow_resnet(num_classes=2, width=4).state_dict(), tmp_path / "net.pth")
    assert checkpoint_weights(str(tmp_path / "net.pth")).classes is None
    assert len(published_weights("slow_8x8_r50_pytorchvideo").classes) == 400
    assert published_weights("resnet50_torchvision_v1").classes is None


def loading(net, state, tmp_path, **arguments):
    torch.save(state, tmp_path / "w.pth")
    return load_weights(net, checkpoint_weights(str(tmp_path / "w.pth"), **arguments))


def test_weights_of_every_code_base_load_from_a_checkpoint(tmp_path):
    net = slow_resnet(num_classes=7, width=4)
    for names in (PYSLOWFAST, CAFFE2, MMACTION2):
        state = random_state(Peer(names=names, kernels=SLOW))
        report = loading(net, state, tmp_path)
        assert len(report.loaded) == len(state)
        assert torch.equal(net.blocks[0].conv.weight, next(iter(state.values())))
        assert all(key.endswith("num_batches_tracked") for key in report.fresh)


def recorded_as(monkeypatch, path, **arguments):
    """The zoo and its cache hold one file under the name "ours"."""
    record = replace(published_record("slow_8x8_r50_pytorchvideo"), name="ours", **arguments)
    monkeypatch.setattr(weight_source, "published_record", {"ours": record}.__getitem__)
    asked = []

    def cached(url, *, sha256=None):
        asked.append((url, sha256))
        return path

    monkeypatch.setattr(weight_source, "cached_file", cached)
    return record, asked


def test_published_weights_are_read_from_the_cache_by_their_record(monkeypatch, tmp_path):
    conversion = convert(random_state(Peer(names=PYSLOWFAST, kernels=SLOW)))
    source, _ = conversion.build()
    torch.save({"model_state": source.state_dict()}, tmp_path / "w.pyth")
    record, asked = recorded_as(monkeypatch, tmp_path / "w.pyth", net=conversion.net)
    net = slow_resnet(num_classes=7, width=4)
    report = load_weights(net, published_weights("ours"))
    assert asked == [(record.url, record.sha256)]
    assert (report.name, report.fresh, report.ignored) == ("ours", (), ())
    torch.testing.assert_close(net.state_dict(), source.state_dict(), rtol=0, atol=0)
    other = slow_resnet(num_classes=7, width=4, stem_pool_padding=0)
    with pytest.raises(WeightsError, match="not in function"):
        load_weights(other, published_weights("ours"))


PYSLOWFAST_CONFIG = "MODEL: {ARCH: slow}\nNONLOCAL: {INSTANTIATION: dot_product}\n"


def test_a_stored_configuration_refuses_a_net_of_another_function(tmp_path):
    peer = Peer(names=PYSLOWFAST, kernels=SLOW, inserted={3: (1,)}, kind="dot_product")
    path = tmp_path / "w.pyth"
    torch.save({"model_state": random_state(peer), "cfg": PYSLOWFAST_CONFIG}, path)

    def net(kind):
        block = partial(NonLocalBlock, kind=kind, sub_sample="before")
        placement = Placement(block=block, res3=[1], position="after_relu")
        return slow_resnet(num_classes=7, width=4, placement=placement)

    load_weights(net("dot_product"), checkpoint_weights(str(path)))
    with pytest.raises(WeightsError, match=r"not in function: res3\.1\.block was .*'dot_product'"):
        load_weights(net("embedded_gaussian"), checkpoint_weights(str(path)))


def test_what_is_told_of_a_file_refuses_a_net_of_another_function(tmp_path):
    torch.save(random_state(Peer(names=CAFFE2, kernels=SLOW)), tmp_path / "w.pth")
    weights = partial(checkpoint_weights, str(tmp_path / "w.pth"))
    net = slow_resnet(num_classes=7, width=4)
    load_weights(net, weights())
    load_weights(net, weights(choice=NetChoice(stem_pool_padding=1)))
    with pytest.raises(WeightsError, match=r"stem\.pool was .*model\.net\.stem_pool_padding=0"):
        load_weights(net, weights(choice=NetChoice(stem_pool_padding=0)))
