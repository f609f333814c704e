import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import grad, jvp, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from gcvideo.models import i3d_resnet, slow_resnet
from gcvideo.nn._convolution import VideoConv3d, use_video_convolutions

# kernel, stride, padding: those of the nets, and some that no net has.
SHAPES = [
    ((1, 1, 1), (1, 1, 1), (0, 0, 0)),
    ((1, 1, 1), (1, 2, 2), (0, 0, 0)),
    ((1, 3, 3), (1, 1, 1), (0, 1, 1)),
    ((1, 3, 3), (1, 2, 2), (0, 1, 1)),
    ((3, 1, 1), (1, 1, 1), (1, 0, 0)),
    ((5, 7, 7), (1, 2, 2), (2, 3, 3)),
    ((3, 1, 1), (2, 1, 1), (1, 0, 0)),
    ((3, 1, 1), (1, 2, 2), (1, 0, 0)),
    ((1, 1, 1), (2, 1, 1), (0, 0, 0)),
    ((1, 3, 3), (2, 1, 1), (0, 1, 1)),
    ((5, 1, 1), (1, 1, 1), (0, 0, 0)),
    ((7, 1, 1), (1, 1, 1), (3, 0, 0)),
    ((1, 1, 1), (1, 1, 1), (1, 0, 0)),
    ((1, 1, 1), (1, 1, 1), (0, 1, 1)),
    ((3, 3, 3), (1, 1, 1), (1, 1, 1)),
]


class Operators(TorchDispatchMode):
    """Names of the operators that run, and the ranks of what they convolve."""

    def __init__(self):
        super().__init__()
        self.convolved = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            self.convolved.append(args[0].ndim)
        return func(*args, **(kwargs or {}))


def plain(kernel, stride, padding, *, bias=True, channels=16):
    return nn.Conv3d(channels, 8, kernel, stride, padding, bias=bias)


def video(conv, *, folded=False):
    net = nn.Sequential(copy.deepcopy(conv))
    use_video_convolutions(net, folded=folded)
    return net[0].to(memory_format=torch.channels_last_3d)


def clips(channels=16, frames=5):
    x = torch.randn(2, channels, frames, 9, 8)
    return x.contiguous(memory_format=torch.channels_last_3d).requires_grad_()


def gradients(conv, x):
    y = conv(x)
    loss = (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum()
    return [y, *torch.autograd.grad(loss, [x, *conv.parameters()])]


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding"), SHAPES)
def test_output_and_gradients_are_those_of_the_plain_convolution(
    kernel, stride, padding, bias, folded
):
    conv, x = plain(kernel, stride, padding, bias=bias), clips()
    expected = gradients(conv.double(), x.double())
    found = gradients(video(conv.float(), folded=folded), x)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("frames", [1, 2])
def test_taps_that_meet_no_frame_have_no_gradient(frames):
    conv, x = plain((7, 1, 1), (1, 1, 1), (3, 0, 0)), clips(frames=frames)
    expected = gradients(conv, x.detach().contiguous().requires_grad_())
    for one, other in zip(gradients(video(conv), x), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def leave_nan_behind():
    """Fill memory that is free afterwards, so that whoever reads it unwritten finds NaN."""
    for dtype in (torch.float32, torch.bfloat16):
        [
            torch.full((4**power,), torch.nan, dtype=dtype)
            for power in range(3, 11)
            for _ in "123456"
        ]


@pytest.mark.parametrize("under_autocast", [True, False])
@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("grid", [(2, 5, 5), (4, 2, 9), (6, 3, 1), (1, 1, 1), (2, 16, 2)])
@pytest.mark.parametrize("index", [3, 4, 5, 14])
def test_results_in_bfloat16_are_right_for_clips_smaller_than_the_kernel(
    index, grid, folded, under_autocast
):
    conv = plain(*SHAPES[index]).bfloat16().float()
    x = torch.randn(2, 16, *grid).bfloat16().float()
    expected = gradients(copy.deepcopy(conv).double(), x.double().requires_grad_())
    dtype = torch.float32 if under_autocast else torch.bfloat16
    conv = video(conv, folded=folded).to(dtype)
    x = x.to(dtype, memory_format=torch.channels_last_3d).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=under_autocast):
        y = conv(x)
    leave_nan_behind()
    loss = (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum()
    found = [y, *torch.autograd.grad(loss, [x, *conv.parameters()])]
    for one, other in zip(found, expected, strict=True):
        assert (one.double() - other).norm() <= 0.02 * other.norm()


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding"), SHAPES[:6])
def test_results_stay_in_channels_last(kernel, stride, padding, folded):
    x = clips()
    y = video(plain(kernel, stride, padding), folded=folded)(x)
    assert y.is_contiguous(memory_format=torch.channels_last_3d)
    (grad,) = torch.autograd.grad(y.square().sum(), x)
    if not folded:  # where the format is torch's choice, which differs by version
        assert grad.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding"), SHAPES[:5])
def test_no_input_is_copied(largest_new_tensor, kernel, stride, padding, folded):
    conv, x = video(plain(kernel, stride, padding), folded=folded), clips()
    with torch.no_grad(), largest_new_tensor:
        y = conv(x)
    assert largest_new_tensor.numel <= y.numel()


def test_a_folded_slow_net_runs_no_3d_convolution():
    net = slow_resnet(num_classes=3, width=4).eval()
    x = torch.randn(1, 3, 4, 32, 32).contiguous(memory_format=torch.channels_last_3d)
    expected = net(x)
    for folded, rank in ((False, 5), (True, 4)):
        use_video_convolutions(net, folded=folded)
        with Operators() as operators:
            y = net(x)
        assert set(operators.convolved) == {rank}
        torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)


def test_only_the_stem_of_a_folded_i3d_is_3d():
    net = i3d_resnet(num_classes=3, width=4).eval()
    use_video_convolutions(net, folded=True)
    with Operators() as operators:
        net(torch.randn(1, 3, 4, 32, 32))
    assert operators.convolved.count(5) == 1
    assert operators.convolved[0] == 5


def test_a_backward_pass_through_a_net_has_the_gradients_of_the_plain_net(randomised):
    # Statistics of so few positions would blow rounding up; in evaluation mode there are none.
    net = randomised(slow_resnet(num_classes=3, width=16)).double()
    x = torch.randn(2, 3, 2, 32, 32)
    F.cross_entropy(net(x.double()), torch.tensor([0, 2])).backward()
    expected = {name: parameter.grad for name, parameter in net.named_parameters()}
    other = copy.deepcopy(net).float().to(memory_format=torch.channels_last_3d)
    other.zero_grad()
    use_video_convolutions(other)
    F.cross_entropy(other(x), torch.tensor([0, 2])).backward()
    for name, parameter in other.named_parameters():
        scale = expected[name].abs().max()
        assert (parameter.grad - expected[name]).abs().max() < 1e-4 * scale, name


@pytest.mark.parametrize("change", ["groups", "dilation", "padding_mode", "few_channels", "double"])
def test_other_convolutions_are_left_to_pytorch(change):
    settings = {
        "groups": {"groups": 2},
        "dilation": {"dilation": (1, 2, 2)},
        "padding_mode": {"padding_mode": "circular"},
    }.get(change, {})
    channels = 4 if change == "few_channels" else 16
    conv = nn.Conv3d(channels, 8, (1, 3, 3), padding=(0, 1, 1), **settings)
    x = clips(channels)
    if change == "double":
        conv, x = conv.double(), x.detach().double().requires_grad_()
    y = video(conv)(x)
    assert y.grad_fn.name() in ("ConvolutionBackward0", "PermuteBackward0")
    for one, other in zip(gradients(video(conv), x), gradients(conv, x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_under_autocast_it_computes_in_bfloat16_as_pytorch_does():
    conv, x = plain((1, 1, 1), (1, 1, 1), (0, 0, 0)), clips()
    with torch.autocast("cpu", torch.bfloat16):
        y = video(conv)(x)
    assert y.dtype == torch.bfloat16
    grad = torch.autograd.grad(y.float().sum(), x)[0]
    assert grad.dtype == torch.float32


def test_frozen_weights_get_no_gradient_and_pass_it_on():
    conv, x = video(plain((1, 3, 3), (1, 1, 1), (0, 1, 1))).requires_grad_(False), clips()
    conv(x).sum().backward()
    assert conv.weight.grad is None
    assert x.grad.abs().sum() > 0


def test_parameters_keys_and_other_subclasses_stay():
    class Own(nn.Conv3d):
        pass

    net = nn.Sequential(nn.Conv3d(3, 4, 1), Own(4, 4, 1))
    before = dict(net.named_parameters())
    use_video_convolutions(net, folded=True)
    assert [type(module) for module in net] == [VideoConv3d, Own]
    assert all(parameter is before[name] for name, parameter in net.named_parameters())
    assert "folded=True" in repr(net[0])
    use_video_convolutions(net)
    assert not net[0].folded


def test_all_derivatives_are_those_of_torch():
    conv = plain((1, 1, 1), (1, 1, 1), (0, 0, 0))
    ours, x = video(conv), clips().detach()
    direction = torch.randn_like(x)
    wanted = jvp(conv, (x,), (direction,))
    torch.testing.assert_close(jvp(ours, (x,), (direction,)), wanted)
    by_clip = vmap(grad(lambda clip: ours(clip[None]).square().sum()))
    torch.testing.assert_close(by_clip(x), grad(lambda x: conv(x).square().sum())(x))
