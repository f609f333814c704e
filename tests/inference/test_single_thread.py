import copy

import pytest
import torch
from torch import nn

from gcvideo.inference.single_thread import for_single_threads
from gcvideo.models import c2d_resnet, i3d_resnet, slow_resnet


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 1},
        {"kernel_size": 1, "bias": False},
        {"kernel_size": 1, "stride": (1, 2, 2)},
        {"kernel_size": 1, "padding": 1},
        {"kernel_size": 1, "groups": 2},
        {"kernel_size": (3, 1, 1), "padding": (1, 0, 0)},
        {"kernel_size": (3, 1, 1), "bias": False},
        {"kernel_size": (3, 1, 1), "padding": (0, 1, 1)},
        {"kernel_size": (3, 1, 1), "padding": (1, 0, 0), "padding_mode": "replicate"},
        {"kernel_size": (3, 1, 1), "dilation": (2, 1, 1)},
        {"kernel_size": (3, 1, 1), "stride": (2, 1, 1)},
        {"kernel_size": (3, 1, 1), "padding": "same"},
        {"kernel_size": 3, "padding": 1},
    ],
)
def test_any_convolution_gives_what_it_gave_before(settings, memory_format):
    layer = nn.Sequential(nn.Conv3d(4, 6, **settings))
    x = torch.randn(2, 4, 5, 3, 2).contiguous(memory_format=memory_format)
    torch.testing.assert_close(for_single_threads(layer)(x), layer(x))


@pytest.mark.parametrize(
    ("build", "num_left"), [(slow_resnet, 17 + 3), (i3d_resnet, 17 + 3), (c2d_resnet, 17 + 3)]
)
def test_a_net_keeps_its_scores_and_only_convolutions_over_pixels(build, num_left):
    net = build(num_classes=3, width=4).eval()
    before = copy.deepcopy(net.state_dict())
    fast = for_single_threads(net)
    # The stem, a 3 x 3 in each of 16 blocks, and the strided projections of three stages.
    assert sum(isinstance(module, nn.Conv3d) for module in fast.modules()) == num_left
    assert sum(module.inplace for module in fast.modules() if isinstance(module, nn.ReLU)) == 48
    x = torch.randn(1, 3, 4, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(fast(x), net(x), atol=1e-5, rtol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
