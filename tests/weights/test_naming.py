import pytest
import torch
from peer_layout import (
    C2D,
    CAFFE2,
    FIVE,
    MMACTION2,
    MMDETECTION,
    PYSLOWFAST,
    PYTORCHVIDEO,
    SLOW,
    TORCHVISION,
    Peer,
    random_state,
)

from gcvideo.models import slow_resnet, stages_of
from gcvideo.weights import WeightsError, convert_context_block
from gcvideo.weights._naming import NAMINGS, detect_naming, from_common, stage_positions, to_common

PEERS = {
    "pytorchvideo": Peer(names=PYTORCHVIDEO, kernels=SLOW),
    "pyslowfast": Peer(names=PYSLOWFAST, kernels=SLOW, inserted=FIVE),
    "caffe2": Peer(names=CAFFE2, kernels=SLOW, inserted=FIVE),
    "mmaction2": Peer(names=MMACTION2, kernels=SLOW, inserted=FIVE),
    "torchvision": Peer(names=TORCHVISION, kernels=C2D, flat=True),
    "mmdetection": Peer(names=MMDETECTION, kernels=C2D, flat=True, inserted=FIVE),
}


@pytest.fixture(params=PEERS)
def name(request):
    return request.param


def test_each_known_code_base_is_recognised_by_its_names(name):
    assert PEERS.keys() == NAMINGS.keys()
    assert detect_naming(random_state(PEERS[name])).name == name


def test_every_key_gets_a_common_name_of_its_own(name):
    state = random_state(PEERS[name])
    common = to_common(state, NAMINGS[name])
    assert len(common) == len(state)
    assert {key.partition(".")[0] for key in common} <= {
        "stem",
        "res2",
        "res3",
        "res4",
        "res5",
        "head",
    }
    for theirs, ours in zip(state.values(), common.values(), strict=True):
        assert torch.equal(theirs.flatten(), ours.flatten())


def test_names_return_to_those_of_the_net_whatever_the_place_of_its_stages():
    net = slow_resnet(num_classes=7, width=4)
    state = net.state_dict()
    common = to_common(state, NAMINGS["pytorchvideo"])
    assert from_common(common, state).keys() == state.keys()
    moved = {f"blocks.{p + (p > 1)}.{rest}": v for k, v in state.items() for p, rest in [split(k)]}
    assert stage_positions(moved) == [1, 3, 4, 5]
    assert len(stages_of(net)) == 4
    assert from_common(common, moved).keys() == moved.keys()


def split(key):
    _, place, rest = key.split(".", 2)
    return int(place), rest


def test_two_pathways_are_refused():
    state = {
        "s1.pathway0_stem.conv.weight": torch.ones(1),
        "s1.pathway1_stem.conv.weight": torch.ones(1),
    }
    with pytest.raises(
        WeightsError, match=r"SlowFast net with two pathways; .*choose weights of a Slow"
    ):
        detect_naming(state)


def test_unknown_names_are_told_with_those_known():
    with pytest.raises(
        WeightsError,
        match=r"these 2 tensors \(a\.bias, a\.weight, \.\.\.\) are those of no known code base; known are "
        r"pytorchvideo, pyslowfast, caffe2, mmaction2, torchvision, mmdetection: rename",
    ):
        detect_naming(["a.weight", "a.bias"])


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (
            ["gru.weight"],
            r"'gru\.weight' is not a parameter of a bottleneck ResNet of pyslowfast; this",
        ),
        (
            ["a.b", "c.d", "e.f"],
            r"'a\.b' is not a parameter .* nor are 2 others; this package has Slow",
        ),
    ],
)
def test_a_key_that_no_net_has_is_named(extra, message):
    state = random_state(PEERS["pyslowfast"]) | dict.fromkeys(extra, torch.ones(1))
    with pytest.raises(WeightsError, match=message):
        to_common(state, NAMINGS["pyslowfast"])


def test_two_keys_of_one_parameter_are_named():
    state = random_state(PEERS["mmaction2"])
    twin = {"backbone.layer2.1.non_local_block.g.conv.weight": torch.ones(16, 32, 1, 1, 1)}
    with pytest.raises(
        WeightsError,
        match=r"two tensors .* become 'res3\.1\.block\.g\.weight', one of them 'backbone",
    ):
        to_common(state | twin, NAMINGS["mmaction2"])


def test_what_optimizers_left_keeps_its_name():
    extra = {"pred_w_momentum": torch.ones(1), "lr": torch.ones(1), "model_iter": torch.ones(1)}
    common = to_common(random_state(PEERS["caffe2"]) | extra, NAMINGS["caffe2"])
    assert extra.keys() <= common.keys()


def reference_context_block(x, state, words, norm_dims, eps):
    """The context block of mmcv and timm with their 1x1 convolutions on images."""
    mask, first, norm, last = words

    def conv(name, value):
        return torch.nn.functional.conv2d(value, state[f"{name}.weight"], state[f"{name}.bias"])

    weights = conv(mask, x).flatten(2).softmax(dim=2)
    context = torch.einsum("bcp,bop->bc", x.flatten(2), weights)[:, :, None, None]
    hidden = conv(first, context)
    mean = hidden.mean(dim=1, keepdim=True)
    variance = (hidden - mean).square().mean(dim=1, keepdim=True)
    gamma, beta = (state[f"{norm}.{leaf}"].reshape(1, -1, 1, 1) for leaf in ("weight", "bias"))
    hidden = (hidden - mean) / (variance + eps).sqrt() * gamma + beta
    assert state[f"{norm}.weight"].ndim == norm_dims
    return conv(last, hidden.relu())


@pytest.mark.parametrize(
    ("words", "norm_shape", "eps"),
    [
        (
            ("conv_mask", "channel_{}_conv.0", "channel_{}_conv.1", "channel_{}_conv.3"),
            (4, 1, 1),
            1e-5,
        ),
        (("conv_attn", "mlp_{}.fc1", "mlp_{}.norm", "mlp_{}.fc2"), (4,), 1e-6),
    ],
    ids=["mmcv", "timm"],
)
@pytest.mark.parametrize("fusion", ["add", "mul"])
def test_a_single_context_block_of_mmcv_or_timm_keeps_its_function(words, norm_shape, eps, fusion):
    theirs = "scale" if fusion == "mul" and "attn" in words[0] else fusion
    words = [word.format(theirs) for word in words]
    shapes = ((1, 16, 1, 1), (4, 16, 1, 1), norm_shape, (16, 4, 1, 1))
    state = {}
    for word, shape in zip(words, shapes, strict=True):
        state[f"{word}.weight"] = torch.randn(shape)
        state[f"{word}.bias"] = torch.randn(norm_shape if shape is norm_shape else shape[:1])
    for leaf in ("weight", "bias"):
        state[f"{words[1]}.{leaf}"] *= 1e-3  # so small a variance that eps decides
    block = convert_context_block(state)
    x = torch.randn(2, 16, 5, 6)
    update = reference_context_block(x, state, words, len(norm_shape), eps)
    expected = x * update.sigmoid() if fusion == "mul" else x + update
    torch.testing.assert_close(block(x), expected)


def test_a_key_of_something_else_is_no_context_block():
    with pytest.raises(
        WeightsError, match=r"'conv1\.weight' is not a parameter of a context block"
    ):
        convert_context_block({"conv1.weight": torch.ones(1)})
