from functools import partial

import pytest
import torch
from pytorchvideo.models import hub
from pytorchvideo.models.resnet import create_resnet
from safetensors.torch import load_file
from torch import nn

from gcvideo.models import Placement, c2d_resnet, i3d_resnet, slow_resnet, stages_of
from gcvideo.nn import NonLocalBlock, global_context, simplified_non_local

NETS = [slow_resnet, i3d_resnet, c2d_resnet]
FIVE = {"res3": [1, 3], "res4": [1, 3, 5]}
ALL = {"res3": "all", "res4": "all", "res5": "all"}
GC = partial(global_context, ratio=1 / 4)

# The arguments of pytorchvideo.models.hub, which fixes the window of its slow_r50.
PEERS = {
    slow_resnet: {"stem_conv_kernel_size": (1, 7, 7)},
    i3d_resnet: {
        "stem_conv_kernel_size": (5, 7, 7),
        "stage1_pool": nn.MaxPool3d,
        "stage_conv_a_kernel_size": (
            (3, 1, 1),
            [(3, 1, 1), (1, 1, 1)],
            [(3, 1, 1), (1, 1, 1)],
            [(1, 1, 1), (3, 1, 1)],
        ),
    },
    c2d_resnet: {
        "stem_conv_kernel_size": (1, 7, 7),
        "stage1_pool": nn.MaxPool3d,
        "stage_conv_a_kernel_size": ((1, 1, 1),) * 4,
    },
}


def num_parameters(net):
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        (Placement(), 32_454_096),
        (Placement(block=NonLocalBlock, **FIVE, position="after_relu"), 39_812_560),
        (Placement(block=simplified_non_local, **FIVE), 36_132_309),
        (Placement(block=GC, **FIVE), 34_300_373),
        (Placement(block=GC, **ALL), 42_455_005),
    ],
    ids=["none", "5nl", "5snl", "5gc", "allgc"],
)
def test_slow_r50_has_the_published_number_of_parameters(on_meta, placement, expected):
    assert num_parameters(on_meta(slow_resnet, num_classes=400, placement=placement)) == expected


@pytest.mark.parametrize(
    ("make", "peer", "millions"),
    [
        (slow_resnet, hub.slow_r50, 32.45),
        (i3d_resnet, hub.i3d_r50, 28.04),
        (c2d_resnet, hub.c2d_r50, 24.33),
    ],
)
def test_names_and_shapes_are_those_of_the_pytorchvideo_hub(on_meta, make, peer, millions):
    net, expected = on_meta(make, num_classes=400), on_meta(peer)
    assert {name: tensor.shape for name, tensor in net.state_dict().items()} == {
        name: tensor.shape for name, tensor in expected.state_dict().items()
    }
    assert round(num_parameters(net) / 1e6, 2) == millions


def peer_of(make, num_frames, head):
    frames = num_frames if make is slow_resnet else num_frames // 2
    heads = {
        "adaptive": {"head_pool": nn.AdaptiveAvgPool3d},
        "fcn_logit": {"head_pool_kernel_size": (frames, 2, 2)},
    }
    return create_resnet(stem_dim_out=4, model_num_class=10, **PEERS[make], **heads[head])


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("head", ["adaptive", "fcn_logit"])
def test_bare_net_computes_what_pytorchvideo_computes(randomised, make, head):
    peer = randomised(peer_of(make, num_frames=4, head=head))
    net = make(num_classes=10, width=4).eval()
    net.blocks[-1].configure(head, pool_size=2)
    net.load_state_dict(peer.state_dict())
    x = torch.randn(1, 3, 4, 96, 96)  # a 3 x 3 map: four windows
    with torch.no_grad():
        expected = peer(x)
        torch.testing.assert_close(net(x), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.01


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (slow_resnet, [[1] * 3, [1] * 4, [3] * 6, [3] * 3]),
        (i3d_resnet, [[3] * 3, [3, 1, 3, 1], [3, 1, 3, 1, 3, 1], [1, 3, 1]]),
        (c2d_resnet, [[1] * 3, [1] * 4, [1] * 6, [1] * 3]),
    ],
)
def test_temporal_kernels_sit_where_the_papers_put_them(on_meta, make, expected):
    stages = stages_of(on_meta(make, num_classes=10)).values()
    kernels = [[block.branch2.conv_a.kernel_size for block in stage.res_blocks] for stage in stages]
    assert kernels == [[(t, 1, 1) for t in stage] for stage in expected]


@pytest.mark.parametrize("make", NETS)
def test_spatial_stride_sits_in_the_3x3_convolution(on_meta, make):
    for name, stage in stages_of(on_meta(make, num_classes=10)).items():
        branch = stage.res_blocks[0].branch2
        size = 1 if name == "res2" else 2
        assert branch.conv_a.stride == (1, 1, 1)
        assert branch.conv_b.stride == (1, size, size)


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize(("depth", "lengths"), [(50, [3, 4, 6, 3]), (101, [3, 4, 23, 3])])
def test_stages_have_the_lengths_of_the_depth(on_meta, make, depth, lengths):
    net = on_meta(make, num_classes=10, depth=depth)
    assert [len(stage.res_blocks) for stage in stages_of(net).values()] == lengths


@pytest.mark.parametrize("make", NETS)
def test_last_gamma_of_each_residual_branch_starts_at_zero(make):
    net = make(num_classes=10, width=4)
    for stage in stages_of(net).values():
        for block in stage.res_blocks:
            assert not block.branch2.norm_c.weight.any()


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("shape", [(2, 16, 24), (5, 40, 33), (9, 32, 64)])
def test_adaptive_head_takes_any_clip_length_and_crop(make, shape):
    net = make(num_classes=7, width=4).eval()
    with torch.no_grad():
        assert net(torch.randn(2, 3, *shape)).shape == (2, 7)


def test_dropout_and_head_mode_reach_the_head():
    head = slow_resnet(num_classes=7, width=4, dropout=0.25, head="fcn_prob").blocks[-1]
    assert (head.dropout.p, head.mode, head.pool_size) == (0.25, "fcn_prob", 7)


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 18}, "depth is 18; .* 50 or 101"),
        ({"num_classes": 1}, "num_classes is 1; .* at least 2"),
        ({"width": 0}, "width is 0; .* at least 1"),
        ({"head": "gap"}, "head mode is 'gap'; choose one of adaptive, fcn_logit, fcn_prob"),
    ],
)
def test_wrong_arguments_are_refused(unchecked, make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**({"num_classes": 10, "width": 4} | arguments))


def read_parity(shared_data, name):
    path = shared_data / "parity" / f"{name}.safetensors"
    if not path.exists():
        pytest.skip(f"no parity file {path}; set GCVIDEO_DATA to the folder that holds parity/")
    tensors = load_file(path)
    prefix = "state_dict."
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    return tensors, state


def load_renamed(net, state, rename):
    """Every tensor of the net comes from the source; 1x1x1 convolutions become linear layers."""
    shapes = {name: tensor.shape for name, tensor in net.state_dict().items()}
    renamed = {rename(name): tensor for name, tensor in state.items()}
    net.load_state_dict({k: v.reshape(shapes[k]) for k, v in renamed.items()}, strict=True)
    return net.eval()


def replaced(name, table):
    for old, new in table.items():
        name = name.replace(old, new)
    return name


def from_pyslowfast(net):
    """Keys of PySlowFast, which are translated word by word."""
    stages = {
        stage: name for name, stage in net.named_modules() if stage in stages_of(net).values()
    }
    prefixes = {f"s{r}": name for r, name in enumerate(stages.values(), start=2)}
    head = f"blocks.{len(net.blocks) - 1}"

    def rename(name):
        first, _, rest = name.partition(".")
        if first == "head":
            return rest.replace("projection", f"{head}.proj")
        if first == "s1":
            return replaced(rest, {"pathway0_stem": "blocks.0", ".bn.": ".norm."})
        where, _, leaf = rest.partition(".")
        kind, index = where.removeprefix("pathway0_").rstrip("0123456789"), where[-1]
        block = f"{prefixes[first]}.res_blocks.{index}"
        if kind == "nonlocal":
            leaf = leaf.removeprefix("conv_").replace("bn.", "norm.")
            return f"{block}.activation.block.{leaf}"
        table = {"branch1_bn": "branch1_norm", "branch1.": "branch1_conv."}
        for x in "abc":
            table |= {f".{x}_bn.": f".norm_{x}.", f".{x}.": f".conv_{x}."}
        return f"{block}.{replaced(leaf, table)}"

    return rename


def pyslowfast_net(name, block):
    make = i3d_resnet if "i3d" in name else slow_resnet
    placement = Placement(block=block, **FIVE, position="after_relu") if block else Placement()
    net = make(num_classes=10, width=4, head="fcn_prob", placement=placement)
    net.blocks[-1].configure("fcn_prob", pool_size=2)
    return net


def assert_parity(actual, expected):
    assert (actual - expected).abs().max() <= 1e-4 * expected.std()


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("slow_8x8_r50", None),
        ("slow_8x8_r50_at_96", None),
        ("slow_nln_8x8_r50", partial(NonLocalBlock, kind="dot_product")),
        ("i3d_nln_8x8_r50", partial(NonLocalBlock, kind="embedded_gaussian")),
    ],
)
def test_net_equals_pyslowfast(shared_data, name, block):
    tensors, state = read_parity(shared_data, f"pyslowfast_{name}")
    net = pyslowfast_net(name, block)
    load_renamed(net, state, from_pyslowfast(net))
    with torch.no_grad():
        assert_parity(net(tensors["input"]).softmax(dim=1), tensors["eval_output_softmax"])
        net.blocks[-1].configure("fcn_logit", pool_size=2)
        assert_parity(net(tensors["input"]), tensors["logits_mean_over_positions"])


def from_mmaction(name):
    first, *rest = name.split(".")
    if first == "cls_head":
        return name.replace("cls_head.fc_cls", "blocks.5.proj")
    if rest[0] == "conv1":
        return replaced(name, {"backbone.conv1": "blocks.0", ".bn.": ".norm."})
    block = f"blocks.{rest[0][-1]}.res_blocks.{rest[1]}"
    leaf = ".".join(rest[2:])
    if leaf.startswith("non_local_block"):
        table = {
            "non_local_block": "activation.block",
            ".0.conv": "",
            "conv_out.conv": "out",
            "conv_out.bn": "norm",
            ".conv": "",
        }
    else:
        table = {"downsample.conv": "branch1_conv", "downsample.bn": "branch1_norm"}
        for number, letter in zip("123", "abc", strict=True):
            table |= {
                f"conv{number}.conv": f"branch2.conv_{letter}",
                f"conv{number}.bn": f"branch2.norm_{letter}",
            }
    return f"{block}.{replaced(leaf, table)}"


@pytest.mark.parametrize(
    ("name", "placement"),
    [
        ("slowonly_r50", Placement()),
        (
            "slowonly_r50_nl_embedded_gaussian",
            Placement(
                block=partial(NonLocalBlock, sub_sample="after", output_bias=False),
                res3=[0, 2],
                res4=[0, 2, 4],
                position="after_relu",
            ),
        ),
    ],
)
def test_net_equals_mmaction2(shared_data, name, placement):
    tensors, state = read_parity(shared_data, f"mmaction2_{name}")
    net = slow_resnet(num_classes=10, width=4, placement=placement)
    load_renamed(net, state, from_mmaction)
    with torch.no_grad():
        assert_parity(net(tensors["input"]), tensors["logits"])
