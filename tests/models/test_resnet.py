import itertools
from functools import partial

import pytest
import torch
from pytorchvideo.models import hub
from pytorchvideo.models.resnet import create_resnet
from torch import nn

from gcvideo.models import Placement, c2d_resnet, i3d_resnet, slow_resnet, stages_of, video_resnet
from gcvideo.models._resnet import SLOW_KERNELS
from gcvideo.nn import NonLocalBlock, global_context, simplified_non_local
from gcvideo.weights import WeightsError

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


def unpadded_pool(*, kernel_size, stride, padding):
    return nn.MaxPool3d(kernel_size, stride, padding=0)


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


VARIANTS = {
    "temporal stride": (
        {"stem_conv_stride": (2, 2, 2), "stem_pool_stride": (2, 2, 2)},
        {"temporal_stride": 2},
    ),
    "stem pool padding": ({"stem_pool": unpadded_pool}, {"stem_pool_padding": 0}),
    "no temporal pool": ({"stage1_pool": None}, {"temporal_pool": False}),
    "all": (
        {
            "stem_conv_stride": (2, 2, 2),
            "stem_pool_stride": (2, 2, 2),
            "stem_pool": unpadded_pool,
            "stage1_pool": None,
        },
        {"temporal_stride": 2, "stem_pool_padding": 0, "temporal_pool": False},
    ),
}


@pytest.mark.parametrize(
    ("make", "variant"),
    [(slow_resnet, "stem pool padding"), *itertools.product([i3d_resnet, c2d_resnet], VARIANTS)],
)
def test_published_variants_compute_what_pytorchvideo_computes(randomised, make, variant):
    theirs, ours = VARIANTS[variant]
    peer = randomised(
        create_resnet(
            stem_dim_out=4,
            model_num_class=10,
            head_pool=nn.AdaptiveAvgPool3d,
            **(PEERS[make] | theirs),
        )
    )
    net = make(num_classes=10, width=4, **ours).eval()
    plain = make(num_classes=10, width=4).eval()
    net.load_state_dict(peer.state_dict())
    x = torch.randn(1, 3, 16, 64, 64)
    with torch.no_grad():
        expected = peer(x)
        torch.testing.assert_close(net(x), expected, rtol=1e-5, atol=1e-5)
        if ours.get("temporal_pool", True):
            plain.load_state_dict(peer.state_dict())
            assert not torch.allclose(plain(x), expected, rtol=1e-3, atol=1e-3)


PATTERNS = [
    (1, ((3,), (1, 3), (1,), (3, 1, 1))),
    (3, ((1,), (5,), (3, 3, 1), (1,))),
]


@pytest.mark.parametrize(("stem_kernel", "kernels"), PATTERNS)
@pytest.mark.parametrize("pool", [False, True])
def test_any_pattern_of_kernels_computes_what_pytorchvideo_computes(
    randomised, stem_kernel, kernels, pool
):
    peer = create_resnet(
        stem_dim_out=4,
        model_num_class=10,
        head_pool=nn.AdaptiveAvgPool3d,
        stem_conv_kernel_size=(stem_kernel, 7, 7),
        stage1_pool=nn.MaxPool3d if pool else None,
        stage_conv_a_kernel_size=tuple([(k, 1, 1) for k in pattern] for pattern in kernels),
    )
    net = video_resnet(
        num_classes=10,
        width=4,
        stem_kernel=stem_kernel,
        temporal_kernels=kernels,
        temporal_pool=pool,
    ).eval()
    net.load_state_dict(randomised(peer).state_dict())
    x = torch.randn(1, 3, 6, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net(x), peer(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("stem_kernel", "kernels"),
    [
        (2, SLOW_KERNELS),
        (1, ((1,), (1,), (4,), (1,))),
        (1, ((1,),) * 3),
        (1, ((1,), (), (1,), (1,))),
    ],
)
def test_kernels_that_no_net_has_are_refused(stem_kernel, kernels):
    with pytest.raises(
        ValueError, match=r"stem_kernel and temporal_kernels are \[.*; give one for"
    ):
        video_resnet(num_classes=10, width=4, stem_kernel=stem_kernel, temporal_kernels=kernels)


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


@pytest.fixture(scope="module", params=NETS)
def trained(request, tmp_path_factory):
    """A builder, a net of it, and a file with the weights of the net."""
    path = tmp_path_factory.mktemp("weights") / "net.pth"
    net = request.param(num_classes=7, width=4).eval()
    torch.save(net.state_dict(), path)
    return request.param, net, path


def test_a_net_starts_from_weights_with_their_classes(trained):
    make, net, path = trained
    clips = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(make(weights=path, width=4).eval()(clips), net(clips))
        with_blocks = make(weights=str(path), width=4, placement=Placement(block=GC, **FIVE)).eval()
        assert torch.equal(with_blocks(clips), net(clips))


def test_a_head_for_other_classes_starts_fresh_and_all_else_is_kept(trained):
    make, net, path = trained
    other = make(num_classes=5, weights=path, width=4)
    assert other.blocks[-1].proj.out_features == 5
    assert other.blocks[-1].proj.weight.std() < 0.02
    trunk, expected = other.blocks[:-1].state_dict(), net.blocks[:-1].state_dict()
    torch.testing.assert_close(trunk, expected, rtol=0, atol=0)


@pytest.mark.parametrize("arguments", [{}, {"num_classes": 5}])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 101}, r"for (Slow|I3D|C2D) R50 .*, and the net is \1 R101 .*resnet\(depth=50"),
        ({"width": 8}, r"for (Slow|I3D|C2D) R50 of width 4, and the net is \1 R50 of width 8"),
    ],
)
def test_weights_of_another_depth_or_width_are_refused(trained, arguments, change, message):
    make, _, path = trained
    with pytest.raises(WeightsError, match=message):
        make(weights=path, **({"width": 4} | arguments | change))


def test_weights_of_another_family_are_refused(trained):
    make, _, path = trained
    for other in set(NETS) - {make}:
        with pytest.raises(
            WeightsError,
            match=rf"weights '{path}' do not fit .* in Python with {make.__name__}\(depth=50",
        ):
            other(num_classes=5, weights=path, width=4)


def test_a_net_needs_classes_or_weights_that_have_some(tmp_path):
    with pytest.raises(ValueError, match="num_classes is missing; give it, or weights"):
        slow_resnet(width=4)
    state = slow_resnet(num_classes=7, width=4).state_dict()
    path = tmp_path / "trunk.pth"
    torch.save({k: v for k, v in state.items() if ".proj." not in k}, path)
    with pytest.raises(ValueError, match=r"trunk\.pth' name no classes; give num_classes"):
        slow_resnet(weights=path, width=4)
    assert slow_resnet(weights=path, num_classes=3, width=4).blocks[-1].proj.out_features == 3
