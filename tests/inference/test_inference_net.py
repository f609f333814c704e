import copy
from functools import partial

import pytest
import torch
from random_net import randomize
from torch import nn

from gcvideo.inference._folding import for_inference
from gcvideo.inference._fused_convolution import FusedConv3d, PackedConv3d, packable_type
from gcvideo.inference._residual_block import ContextOfInput, InferenceBlock
from gcvideo.models import (
    ClipClassifier,
    Placement,
    c2d_resnet,
    count_cost,
    i3d_resnet,
    inserted_blocks,
    slow_resnet,
)
from gcvideo.models._backbone import ResBlock
from gcvideo.nn import (
    ContextBlock,
    CrissCrossBlock,
    NonLocalBlock,
    VideoConv3d,
    global_context,
    simplified_non_local,
    squeeze_excitation,
)
from gcvideo.nn._bfloat16 import has_bfloat16_products

BUILDERS = [
    slow_resnet,
    *(pytest.param(build, marks=pytest.mark.slow) for build in (i3d_resnet, c2d_resnet)),
]
GATED = partial(squeeze_excitation, ratio=1 / 4)
BLOCKS = {
    "none": (None, "after_conv3"),
    "GC": (global_context, "after_conv3"),
    "SNL": (simplified_non_local, "after_conv3"),
    "SE": (GATED, "after_conv3"),
    "mul and add by frame": (
        partial(ContextBlock, fusion=("mul", "add"), axes="hw"),
        "after_conv3",
    ),
    "GC by place": (partial(global_context, axes="t"), "after_conv3"),
    "GC behind the sum": (global_context, "after_add"),
    "SE behind the ReLU": (GATED, "after_relu"),
    "NL on the residual": (partial(NonLocalBlock, sub_sample="none"), "after_conv3"),
    "NL behind the ReLU": (partial(NonLocalBlock, sub_sample="none"), "after_relu"),
    "CC": (CrissCrossBlock, "after_relu"),
}
CAN_PACK = (
    hasattr(torch.ops.mkldnn, "_convolution_pointwise_") and torch.backends.mkldnn.is_available()
)
CAN_PACK_BF16 = CAN_PACK and has_bfloat16_products()
needs_packing = pytest.mark.skipif(not CAN_PACK, reason="torch without oneDNN")


def make_net(build, name, width=8):
    block, position = BLOCKS[name]
    places = {} if block is None else {"res3": [1], "res4": [0], "res5": "all"}
    return randomize(
        build(
            num_classes=3,
            width=width,
            placement=Placement(block=block, position=position, **places),
        )
    ).eval()


def draw_clips(num=3, size=(4, 40, 48)):
    clips = torch.randn(num, 3, *size, generator=torch.Generator().manual_seed(1))
    return clips.to(memory_format=torch.channels_last_3d)


def require_same_logits(found, expected):
    assert expected.std() > 0.01
    torch.testing.assert_close(
        found.float(), expected, atol=2e-5 * float(expected.std()), rtol=1e-4
    )


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("packed", [None, pytest.param(torch.float32, marks=needs_packing)])
@torch.inference_mode()
def test_logits_are_those_of_the_net(build, name, packed):
    net, clips = make_net(build, name), draw_clips()
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    given = clips.clone()
    prepared = for_inference(net, packed)
    blocks = [m for m in prepared.modules() if isinstance(m, InferenceBlock)]
    assert len(blocks) == 16
    expected = net(clips)
    for _ in range(2):
        require_same_logits(prepared(clips), expected)
    assert torch.equal(clips, given)
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())


@needs_packing
@pytest.mark.parametrize("name", ["none", "GC", "SE"])
@torch.inference_mode()
def test_packed_weights_serve_clips_of_any_size_and_number_in_turn(name):
    net = make_net(i3d_resnet, name)
    prepared = for_inference(net, torch.float32)
    for num, size in ((1, (4, 32, 32)), (2, (4, 64, 48)), (5, (4, 32, 32)), (1, (6, 48, 64))):
        clips = draw_clips(num, size)
        require_same_logits(prepared(clips), net(clips))


@pytest.mark.skipif(not CAN_PACK_BF16, reason="no bfloat16 on this processor")
@pytest.mark.parametrize("name", BLOCKS)
@torch.inference_mode()
def test_in_bfloat16_the_error_is_that_of_autocast(name):
    net, clips = make_net(slow_resnet, name), draw_clips(4, (4, 48, 64))
    exact, prepared = net(clips), for_inference(net, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        errors = [float((form(clips) - exact).norm() / exact.norm()) for form in (net, prepared)]
    assert errors[1] < 2 * errors[0] + 0.01


@pytest.mark.skipif(not CAN_PACK_BF16, reason="no bfloat16 on this processor")
@pytest.mark.parametrize(
    ("kernel", "stride", "size"),
    [
        ((1, 3, 3), (1, 2, 2), (2, 8, 2)),  # one column of results
        ((3, 1, 1), (1, 1, 1), (1, 4, 4)),  # shorter than the kernel
        ((5, 7, 7), (1, 2, 2), (3, 5, 4)),
    ],
)
@torch.inference_mode()
def test_results_that_onednn_would_leave_unwritten_in_bfloat16_are_whole(kernel, stride, size):
    conv = VideoConv3d(16, 16, kernel, stride, [k // 2 for k in kernel])
    x = torch.randn(2, 16, *size).bfloat16()
    expected = conv.double()(x.double()).relu()
    packed = PackedConv3d(FusedConv3d.of(conv.float(), relu=True), torch.bfloat16, overwrites=False)
    for _ in range(2):
        torch.full((1 << 20,), float("nan"))  # what earlier memory may hold
        found = packed(x)
        torch.testing.assert_close(found.double(), expected, atol=0.05, rtol=0.02)


@pytest.mark.parametrize("name", ["GC", "SNL", "SE", "mul and add by frame", "GC by place"])
@torch.no_grad()
def test_context_of_a_convolution_is_known_before_it(name):
    """In double precision, against the block behind the convolution."""
    block = randomize(BLOCKS[name][0](12).double())
    conv = randomize(nn.Conv3d(5, 12, 1).double())
    u = torch.randn(2, 5, 3, 4, 6, dtype=torch.float64)
    update, gate = ContextOfInput(block, conv)(u)
    y = conv(u)
    found = (y if gate is None else y * gate) + (0 if update is None else update)
    torch.testing.assert_close(found, block(y), atol=1e-12, rtol=1e-10)
    assert (gate is None) == (block.mul_transform is None)
    assert (update is None) == (block.add_transform is None)


class Shifted(nn.Conv3d):
    """A convolution with a way of its own."""

    def forward(self, input):
        return super().forward(input.roll(1, 2))


class Halved(ContextBlock):
    def forward(self, x):
        return x + (super().forward(x) - x) / 2


class Promoting(nn.Module):
    """A block whose result is float32 under autocast, and not channels-last."""

    def __init__(self, channels):
        super().__init__()
        self.gain = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, x):
        return (x + self.gain * x.float().mean((2, 3, 4), keepdim=True)).contiguous()


@pytest.mark.parametrize("packed", [None, pytest.param(torch.float32, marks=needs_packing)])
@torch.inference_mode()
def test_blocks_of_another_make_stay_as_they_are(packed):
    net = make_net(slow_resnet, "none")
    blocks = net.blocks[3].res_blocks
    blocks[1].branch_fusion = lambda x, y: x + y * y.mean((2, 3, 4), keepdim=True).sigmoid()
    blocks[2].branch2.act_a = nn.LeakyReLU()
    blocks[3].branch2.norm_b = nn.GroupNorm(1, 32)
    blocks[4].branch2.conv_a.__class__ = Shifted
    seen = []
    blocks[5].branch2.conv_b.register_forward_hook(lambda *given: seen.append(given))
    prepared, clips = for_inference(net, packed), draw_clips()
    kinds = [type(block) for block in prepared.blocks[3].res_blocks]
    assert kinds == [InferenceBlock, *[ResBlock] * 5]
    require_same_logits(prepared(clips), net(clips))
    assert len(seen) == 2


@needs_packing
@pytest.mark.parametrize("position", ["after_conv3", "after_add", "after_relu"])
@pytest.mark.parametrize("block", [Halved, Promoting])
@torch.inference_mode()
def test_blocks_of_a_user_compute_what_they_say(block, position):
    placement = Placement(block=block, res3=[1, 2], res4="all", position=position)
    net = randomize(slow_resnet(num_classes=3, width=8, placement=placement)).eval()
    clips = draw_clips()
    exact = net(clips)
    for packed in (None, torch.float32):
        require_same_logits(for_inference(net, packed)(clips), exact)
    if CAN_PACK_BF16:
        with torch.autocast("cpu", torch.bfloat16):
            found = for_inference(net, torch.bfloat16)(clips)
        assert (found.float() - exact).norm() < 0.1 * exact.norm()


@pytest.mark.parametrize("padding", ["same", "valid"])
@torch.inference_mode()
def test_convolutions_padded_by_a_word_are_not_packed(padding):
    net = make_net(slow_resnet, "none")
    for block in net.blocks[2].res_blocks:
        block.branch2.conv_a.padding = padding
    clips = draw_clips()
    require_same_logits(for_inference(net, torch.float32 if CAN_PACK else None)(clips), net(clips))


@torch.inference_mode()
def test_a_surrounding_autocast_does_not_touch_the_weights():
    net, clips = make_net(slow_resnet, "GC"), draw_clips()
    with torch.autocast("cpu", torch.bfloat16):
        prepared = for_inference(net)
    require_same_logits(prepared(clips), net(clips))


@needs_packing
def test_gradients_and_costs_of_a_prepared_net_are_refused():
    prepared = for_inference(make_net(slow_resnet, "GC"), torch.float32)
    with pytest.raises(ValueError, match="made for inference, and has no gradients"):
        prepared(draw_clips().requires_grad_())
    with pytest.raises(ValueError, match="made for inference, where its context blocks"):
        count_cost(prepared, 4, 32)


@needs_packing
@torch.inference_mode()
def test_a_prepared_net_can_be_copied():
    net, clips = make_net(slow_resnet, "GC"), draw_clips()
    prepared = for_inference(net, torch.float32)
    copied = copy.deepcopy(prepared)
    assert torch.equal(copied(clips), prepared(clips))
    assert torch.equal(copied(clips), copy.deepcopy(copied)(clips))


def test_a_prepared_net_does_not_pass_for_a_bare_one():
    with pytest.raises(ValueError, match="made for inference, where its context blocks are part"):
        inserted_blocks(for_inference(make_net(slow_resnet, "GC")))


def test_what_is_packed_follows_device_layout_and_type():
    def model(layout="auto"):
        net = make_net(slow_resnet, "none", width=4)
        return ClipClassifier(net, mean=(0.5,) * 3, std=(0.5,) * 3, layout=layout)

    found = {name: packable_type(model(), getattr(torch, name)) for name in ("float32", "float16")}
    assert found == {"float32": torch.float32 if CAN_PACK else None, "float16": None}
    assert packable_type(model(), torch.bfloat16) == (torch.bfloat16 if CAN_PACK_BF16 else None)
    assert packable_type(model("contiguous"), torch.float32) is None
    assert packable_type(model().to("meta"), torch.float32) is None
    assert packable_type(model().to(torch.float64), torch.float32) is None
