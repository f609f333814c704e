"""Weights of other code bases give what their own nets give, written anew in ``peer_net``."""

import pickle

import numpy as np
import pytest
import torch
from peer_family import DOT, PEERS, SOFTMAX, assert_equal, clips, net_scores
from peer_layout import C2D, I3D, MMDETECTION, SLOW, TORCHVISION, Peer, random_state
from peer_net import features, scores
from pytorchvideo.models import hub
from safetensors.torch import load_file, save_file

from gcvideo._construction import construct
from gcvideo.weights import (
    NetChoice,
    WeightsError,
    checkpoint_weights,
    convert,
    convert_state_dict,
    load_weights,
)


def told(name):
    """A peer of the table, and what must be told about it."""
    peer, choice = PEERS[name]
    return peer, NetChoice(**choice)


@pytest.mark.parametrize("name", PEERS)
def test_a_converted_net_computes_what_its_code_base_computes(name):
    peer, choice = told(name)
    state, x = random_state(peer), clips()
    net, report = convert(state, choice).build()
    assert_equal(net_scores(net, x, peer.output), scores(state, x, peer))
    missing = {key for key in net.state_dict() if key not in report.loaded}
    assert set(report.fresh) == missing
    assert all(key.endswith("num_batches_tracked") for key in missing)
    assert len(report.loaded) == len(state)
    assert report.ignored == ()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("pytorchvideo slow", {"head": "adaptive"}),
        ("mmaction2 i3d", {"temporal_stride": 1}),
        ("mmaction2 i3d", {"temporal_pool": False}),
        ("caffe2 slow", {"stem_pool_padding": 1}),
        ("pyslowfast slow nl", {"non_local_kind": "embedded_gaussian"}),
        ("pyslowfast i3d nl", {"non_local_pool": "after"}),
        ("mmaction2 slowonly nl", {"non_local_pool": "before"}),
        ("mmaction2 slowonly nl", {"non_local_scale": False}),
    ],
)
def test_what_is_told_changes_what_a_net_computes(name, wrong):
    peer, choice = PEERS[name]
    state, x = random_state(peer), clips(size=96)
    expected = scores(state, x, peer)
    net, _ = convert(state, NetChoice(**(choice | wrong))).build()
    difference = net_scores(net, x, peer.output) - expected
    assert difference.abs().max() > 1e-3 * expected.std()


@pytest.mark.parametrize(
    "name", ["pytorchvideo i3d", "pyslowfast slow nl", "mmaction2 slowonly nl", "mmaction2 c2d"]
)
def test_a_larger_crop_meets_the_head_of_its_code_base(name):
    peer, choice = told(name)
    state, x = random_state(peer), clips(size=96)
    net, _ = convert(state, choice).build()
    assert_equal(net_scores(net, x, peer.output), scores(state, x, peer))


@pytest.mark.parametrize("name", ["pytorchvideo c2d", "pyslowfast i3d nl", "mmaction2 i3d nl dot"])
def test_source_and_converted_net_survive_safetensors(tmp_path, name):
    peer, choice = told(name)
    state = random_state(peer)
    save_file(state, tmp_path / "theirs.safetensors")
    conversion = convert(tmp_path / "theirs.safetensors", choice)
    net, _ = conversion.build()
    expected = convert(state, choice).build()[0].state_dict()
    torch.testing.assert_close(net.state_dict(), expected, rtol=0, atol=0)
    save_file(net.state_dict(), tmp_path / "ours.safetensors")
    again = construct(conversion.net)
    load_weights(again, checkpoint_weights(str(tmp_path / "ours.safetensors"), fresh=[]))
    torch.testing.assert_close(again.state_dict(), expected, rtol=0, atol=0)


def test_a_pickle_of_caffe2_is_converted_and_what_is_no_parameter_left_out(tmp_path):
    peer, choice = told("caffe2 i3d nl")
    state = random_state(peer)
    blobs = {name: tensor.numpy() for name, tensor in state.items()}
    training = {f"{name}_momentum": array for name, array in blobs.items()}
    training |= {"lr": np.float32([0.01]), "model_iter": np.float32([7])}
    path = tmp_path / "c2.pkl"
    path.write_bytes(pickle.dumps({"blobs": blobs | training}, protocol=2))
    net, report = convert(path, choice).build()
    x = clips()
    assert_equal(net_scores(net, x, peer.output), scores(state, x, peer))
    assert set(report.ignored) == set(training)
    assert len(report.loaded) == len(blobs)


IMAGE_NETS = {
    "slow": (SLOW, False),
    "i3d": (I3D, True),
    "c2d": (C2D, True),
}


@pytest.mark.parametrize("inflation", ["mean", "centre"])
@pytest.mark.parametrize("family", IMAGE_NETS)
@pytest.mark.parametrize("names", [TORCHVISION, MMDETECTION], ids=["torchvision", "gcnet"])
def test_an_inflated_image_net_has_the_features_of_inflated_kernels(names, family, inflation):
    kernels, pool = IMAGE_NETS[family]
    blocks = {3: (0, 1, 2, 3), 5: (2,)} if names is MMDETECTION else {}
    peer = Peer(
        names=names,
        kernels=kernels,
        temporal_pool=pool,
        flat=True,
        inserted=blocks,
        inflation=inflation,
    )
    state, x = random_state(peer), clips()
    choice = NetChoice(family=family, temporal_pool=pool)
    net, report = convert(state, choice, inflation=inflation).build()
    with torch.no_grad():
        actual = torch.nn.Sequential(*net.eval().blocks[:-1])(x)
    assert_equal(actual, features(state, x, peer))
    assert {key.partition(".proj.")[2] for key in report.fresh} == {"weight", "bias"}
    assert set(report.ignored) == {key for key in state if key.startswith("fc.")}
    assert len(report.loaded) + len(report.ignored) == len(state)


def test_heads_of_detectors_are_ignored():
    state = random_state(Peer(names=MMDETECTION, kernels=C2D, flat=True))
    other = {"neck.fpn.weight": torch.ones(2), "roi_head.bbox.weight": torch.ones(2)}
    _, report = convert(state | other).build()
    assert report.ignored == tuple(other)


PARITY = {
    "mmaction2_i3d_r50": {"temporal_stride": 2},
    "mmaction2_slowonly_r50": {},
    "mmaction2_slowonly_r50_nl_embedded_gaussian": SOFTMAX,
    "pyslowfast_i3d_nln_8x8_r50": SOFTMAX,
    "pyslowfast_slow_8x8_r50": {},
    "pyslowfast_slow_8x8_r50_at_96": {},
    "pyslowfast_slow_nln_8x8_r50": DOT,
}


@pytest.mark.parametrize("name", PARITY)
def test_nets_equal_outputs_that_their_code_bases_left(shared_data, name):
    path = shared_data / "parity" / f"{name}.safetensors"
    if not path.exists():
        pytest.skip(f"no parity file {path}; set GCVIDEO_DATA to the folder that holds parity/")
    tensors = load_file(path)
    prefix = "state_dict."
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    net, report = convert(state, NetChoice(**PARITY[name])).build()
    mode = "probabilities" if "eval_output_softmax" in tensors else "pooled"
    expected = tensors["eval_output_softmax" if mode == "probabilities" else "logits"]
    assert_equal(net_scores(net, tensors["input"], mode), expected)
    assert len(report.loaded) == len(state)


@pytest.mark.slow
@pytest.mark.parametrize("crop", [224, 256])
@pytest.mark.parametrize(
    ("make", "num_frames"), [(hub.slow_r50, 8), (hub.i3d_r50, 8), (hub.c2d_r50, 8)]
)
def test_nets_of_the_pytorchvideo_hub_are_equal_at_full_width(randomised, make, num_frames, crop):
    peer = randomised(make())
    net, _ = convert(peer.state_dict()).build()
    x = torch.randn(1, 3, num_frames, crop, crop)
    with torch.no_grad():
        expected = peer(x)
        assert (net.eval()(x) - expected).abs().max() <= 1e-5 * expected.std()


def test_a_conversion_tells_what_it_found_and_what_it_assumed(tmp_path):
    state = random_state(PEERS["pyslowfast slow nl"][0])
    torch.save({"model_state": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "w.pyth")
    conversion = convert(tmp_path / "w.pyth", NetChoice(**DOT))
    assert (conversion.name, conversion.layout) == ("w.pyth", "pyslowfast")
    assert str(conversion.architecture) == (
        "Slow R50 of width 4 with non-local blocks in res3 [1, 3], res4 [1, 3, 5]"
    )
    assert conversion.notes == ("unwrapped from 'model_state'", "prefix 'module.' removed")
    assert conversion.assumed == (
        "head",
        "non_local_pool",
        "non_local_scale",
        "stem_pool_padding",
        "temporal_pool",
    )
    _, report = conversion.build()
    assert str(report) == f"w.pyth: {len(state)} tensors loaded, 0 fresh, 0 of the source ignored"


def test_what_is_told_is_not_assumed_and_goes_before_the_habit():
    state = random_state(PEERS["mmaction2 i3d"][0])
    assert convert(state).assumed == ("stem_pool_padding", "temporal_pool", "temporal_stride")
    told = NetChoice(head="fcn_logit", temporal_stride=1, stem_pool_padding=0, temporal_pool=False)
    conversion = convert(state, told)
    assert conversion.assumed == ()
    assert {name: conversion.net[name] for name in told.known()} == told.known()


def test_half_precision_is_read_as_float32(tmp_path):
    peer, _ = told("pyslowfast slow")
    state = {k: v.half() if v.is_floating_point() else v for k, v in random_state(peer).items()}
    torch.save(state, tmp_path / "half.pyth")
    conversion = convert(tmp_path / "half.pyth")
    assert conversion.notes == ("float16 weights were read as float32",)
    net, _ = conversion.build()
    assert {tensor.dtype for tensor in net.parameters()} == {torch.float32}
    x = clips()
    expected = scores({k: v.float() for k, v in state.items()}, x, peer)
    assert_equal(net_scores(net, x, peer.output), expected)


def test_state_dicts_are_renamed_without_a_file():
    peer, _ = told("mmaction2 slowonly")
    state = random_state(peer)
    target = convert(state).build()[0].state_dict()
    converted = convert_state_dict(state, target)
    torch.testing.assert_close(converted, dict(target), rtol=0, atol=0)


def test_the_pairwise_function_of_non_local_blocks_must_be_told():
    for name in ("pyslowfast slow nl", "mmaction2 slowonly nl", "caffe2 i3d nl"):
        with pytest.raises(WeightsError, match=r"do not show the pairwise .* give non_local_kind:"):
            convert(random_state(PEERS[name][0]))


def with_changed(state, pattern, change):
    return {key: change(value) if pattern in key else value for key, value in state.items()}


def test_blocks_that_are_not_all_alike_are_refused():
    state = random_state(PEERS["mmaction2 i3d nl gaussian"][0])
    one = random_state(PEERS["mmaction2 i3d nl embedded"][0])
    mixed = state | {key: one[key] for key in one if ".1.non_local_block." in key}
    with pytest.raises(WeightsError, match=r"not non-local or context blocks all of one kind"):
        convert(mixed, NetChoice(**SOFTMAX))


def test_another_number_of_inner_channels_is_refused():
    state = random_state(PEERS["mmaction2 slowonly nl"][0])
    fewer = with_changed(state, "layer2.0.non_local_block.g.", lambda tensor: tensor[:8])
    with pytest.raises(
        WeightsError, match=r"block res3\.0 has 8 inner channels of 32; .* half of the channels"
    ):
        convert(fewer, NetChoice(**SOFTMAX))


def test_a_context_block_without_its_transform_is_refused():
    blocks = {4: (1,)}
    state = random_state(Peer(names=MMDETECTION, kernels=C2D, flat=True, inserted=blocks))
    cut = {key: value for key, value in state.items() if "channel_add_conv.3" not in key}
    with pytest.raises(WeightsError, match=r"context block res4\.1 lacks its transform; .*incompl"):
        convert(cut)
