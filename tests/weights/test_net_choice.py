import pytest
import torch
from peer_family import PEERS, assert_equal, clips, net_scores
from peer_layout import (
    C2D,
    EVEN,
    I3D,
    MMACTION2,
    MMACTION2_FULL,
    PYTORCHVIDEO,
    SLOW,
    Peer,
    random_state,
)
from peer_net import scores

from gcvideo.weights import NetChoice, WeightsError, convert
from gcvideo.weights._architecture import architecture_of
from gcvideo.weights._naming import NAMINGS, to_common
from gcvideo.weights._net_choice import configured_choice, conventions


def test_a_choice_is_completed_by_another_and_keeps_its_own():
    mine = NetChoice(head="fcn_prob", temporal_pool=False)
    theirs = NetChoice(head="adaptive", temporal_pool=True, temporal_stride=2)
    assert mine.over(theirs) == NetChoice(head="fcn_prob", temporal_pool=False, temporal_stride=2)
    assert NetChoice().over(theirs) == theirs.over(NetChoice()) == theirs


def test_false_is_known_and_none_is_not():
    choice = NetChoice(temporal_pool=False, stem_pool_padding=0)
    assert choice.known() == {"temporal_pool": False, "stem_pool_padding": 0}


def habit(layout, *, names=MMACTION2, told=NetChoice(), **arguments):  # noqa: B008 - frozen
    state = random_state(Peer(names=names, **arguments))
    return conventions(layout, architecture_of(to_common(state, NAMINGS[layout])), state, told)


SHORT_I3D = ((5,), (3,), (3, 1), (3, 1, 1, 1, 1, 1), (1,))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"kernels": SLOW}, {"temporal_stride": 1, "temporal_pool": False, "stem_pool_padding": 1}),
        ({"kernels": I3D}, {"temporal_stride": 2, "temporal_pool": True, "non_local_scale": False}),
        ({"kernels": SHORT_I3D}, {"temporal_pool": True, "non_local_scale": False}),
        # SlowOnly without temporal kernels, and C2D, which has kernels of images
        ({"kernels": C2D}, {"temporal_pool": False, "stem_pool_padding": 1}),
        ({"kernels": C2D, "flat": True}, {"temporal_pool": True, "stem_pool_padding": 0}),
        (
            {"kernels": C2D, "flat": True, "told": NetChoice(temporal_pool=False)},
            {"stem_pool_padding": 1},
        ),
        ({"kernels": SLOW, "inserted": EVEN}, {"non_local_scale": True, "non_local_pool": "after"}),
        (
            {"kernels": SLOW, "inserted": EVEN, "names": MMACTION2_FULL},
            {"non_local_pool": "none"},
        ),
    ],
)
def test_habits_of_mmaction2_follow_from_shapes(arguments, expected):
    known = habit("mmaction2", **arguments).known()
    assert {name: known[name] for name in expected} == expected


@pytest.mark.parametrize("pool", [True, False])
def test_the_places_of_a_pytorchvideo_net_show_its_pool(pool):
    choice = habit("pytorchvideo", names=PYTORCHVIDEO, kernels=I3D, temporal_pool=pool)
    assert choice == NetChoice(head="fcn_logit", temporal_pool=pool)


@pytest.mark.parametrize("layout", ["pyslowfast", "mmaction2"])
@pytest.mark.parametrize("config", ["a: [1", "just words", "not Python {", ""])
def test_a_configuration_that_cannot_be_read_tells_nothing(layout, config):
    assert configured_choice(config, layout) == NetChoice()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            "model = dict(backbone=dict(conv1_stride_t=2, pool1_stride_t=2, with_pool2=False,\n"
            "    non_local_cfg=dict(use_scale=False, mode='dot_product')))",
            NetChoice(
                temporal_stride=2,
                temporal_pool=False,
                non_local_kind="dot_product",
                non_local_scale=False,
            ),
        ),
        (
            "resize = dict(mode='lanczos')\nblock = dict(mode='embedded_gaussian')",
            NetChoice(non_local_kind="embedded_gaussian"),
        ),
        ("block = dict(mode='gaussian')", NetChoice()),
    ],
)
def test_configurations_of_mmaction2_are_read(config, expected):
    assert configured_choice(config, "mmaction2") == expected


def test_configurations_of_other_code_bases_tell_nothing():
    assert configured_choice("MODEL:\n  ARCH: slow_c2d\n", "pytorchvideo") == NetChoice()


@pytest.mark.parametrize(
    ("layout", "config", "message"),
    [
        (
            "pyslowfast",
            "RESNET:\n  STRIDE_1X1: true\n",
            r"RESNET\.STRIDE_1X1 is True; .* only builds nets with False",
        ),
        (
            "pyslowfast",
            "NONLOCAL:\n  GROUP: [[1], [2], [1], [1]]\n",
            r"NONLOCAL\.GROUP is \[\[1\], \[2\], \[1\], \[1\]\]; this package only builds nets with",
        ),
        (
            "pyslowfast",
            "RESNET:\n  SPATIAL_DILATIONS: [[1], [1], [1], [2]]\n",
            r"RESNET\.SPATIAL_DILATIONS is \[\[1\], \[1\], \[1\], \[2\]\]; this",
        ),
        (
            "pyslowfast",
            "MODEL:\n  HEAD_ACT: sigmoid\n",
            "HEAD_ACT is 'sigmoid'; .* nets with 'softmax'",
        ),
        ("mmaction2", "a = dict(style='caffe')", "style is 'caffe'; .* with 'pytorch': choose"),
        (
            "mmaction2",
            "a = dict(conv1_stride_t=2, pool1_stride_t=1)",
            "pool1_stride_t is 1; this package only builds nets with 2",
        ),
        ("mmaction2", "a = dict(pool1_stride_t=2)", "pool1_stride_t is 2; .* with 1:"),
    ],
)
def test_what_our_nets_do_not_have_is_refused(layout, config, message):
    with pytest.raises(WeightsError, match=message):
        configured_choice(config, layout)


@pytest.mark.parametrize("strides", ["conv1_stride_t=1, pool1_stride_t=1", "pool1_stride_t=1"])
def test_equal_strides_of_convolution_and_pool_are_one_stride(strides):
    config = f"a = dict({strides})"
    assert configured_choice(config, "mmaction2") == NetChoice(temporal_stride=1)


def config_of_pyslowfast(**changes):
    non_local = {"INSTANTIATION": "dot_product", "POOL": str([[[1, 2, 2], [1, 2, 2]]] * 4)}
    model = {"ARCH": "slow", "MODEL_NAME": "ResNet"}
    sections = {"MODEL": model | changes, "NONLOCAL": non_local | changes}
    return "".join(
        f"{name}:\n" + "".join(f"  {key}: {value}\n" for key, value in section.items())
        for name, section in sections.items()
    )


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("pyslowfast slow nl", {}),
        ("pyslowfast i3d nl", {"ARCH": "i3d", "INSTANTIATION": "softmax"}),
        (
            "pyslowfast slow nl without pooling",
            {"INSTANTIATION": "softmax", "POOL": str([[[1, 1, 1], [1, 1, 1]]] * 4)},
        ),
        ("pyslowfast slow_i3d", {"ARCH": "slow_i3d"}),
        ("pyslowfast slow_c2d", {"ARCH": "slow_c2d"}),
        ("pyslowfast slow_c2d", {"ARCH": "c2d", "MODEL_NAME": "ResNet_nopool"}),
        ("pyslowfast slow_c2d", {"ARCH": "2d"}),
    ],
)
def test_the_configuration_in_a_pyslowfast_file_tells_the_rest(tmp_path, name, changes):
    peer, _ = PEERS[name]
    state, x = random_state(peer), clips()
    config = config_of_pyslowfast(**changes)
    torch.save({"epoch": 3, "model_state": state, "cfg": config}, tmp_path / "w.pyth")
    net, _ = convert(tmp_path / "w.pyth").build()
    assert_equal(net_scores(net, x, peer.output), scores(state, x, peer))


def config_of_mmaction2(kind="ResNet3dSlowOnly", non_local="", **backbone):
    arguments = "".join(f", {key}={value}" for key, value in backbone.items())
    return (
        "default_hooks = dict(sampler_seed=dict(type='DistSamplerSeedHook', mode='seed'))\n"
        f"model = dict(backbone=dict(type='{kind}', depth=50{arguments}{non_local}),\n"
        "    cls_head=dict(type='I3DHead', num_classes=400))\n"
    )


def non_local_cfg(mode, scale):
    return f", non_local_cfg=dict(sub_sample=True, use_scale={scale}, mode='{mode}')"


@pytest.mark.parametrize(
    ("name", "config"),
    [
        (
            "mmaction2 slowonly nl",
            config_of_mmaction2(non_local=non_local_cfg("embedded_gaussian", True)),
        ),
        (
            "mmaction2 slowonly nl without scale",
            config_of_mmaction2(non_local=non_local_cfg("embedded_gaussian", False)),
        ),
        (
            "mmaction2 i3d nl dot",
            config_of_mmaction2("ResNet3d", non_local_cfg("dot_product", False), conv1_stride_t=2),
        ),
        (
            "mmaction2 i3d heavy",
            config_of_mmaction2("ResNet3d", conv1_stride_t=1, with_pool2=True),
        ),
        ("mmaction2 c2d", config_of_mmaction2("C2D")),
        ("mmaction2 c2d nopool", config_of_mmaction2("ResNet")),
    ],
)
def test_the_configuration_in_an_mmaction2_file_tells_the_rest(tmp_path, name, config):
    peer, _ = PEERS[name]
    state, x = random_state(peer), clips()
    torch.save({"meta": {"cfg": config}, "state_dict": state}, tmp_path / "w.pth")
    net, _ = convert(tmp_path / "w.pth").build()
    assert_equal(net_scores(net, x, peer.output), scores(state, x, peer))
