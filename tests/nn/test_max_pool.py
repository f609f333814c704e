"""Max pooling in the type of its input."""

import pytest
import torch
import torch.nn.functional as F

from gcvideo.models import i3d_resnet
from gcvideo.nn import NonLocalBlock
from gcvideo.nn._max_pool import VideoMaxPool3d


@pytest.mark.parametrize("is_mixed", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_maximum_has_the_type_of_its_input_under_autocast(dtype, is_mixed):
    x = torch.randn(2, 3, 4, 9, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    expected = F.max_pool3d(x.float(), (1, 3, 3), (1, 2, 2), (0, 1, 1))
    pool = VideoMaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
    x.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=is_mixed):
        found = pool(x)
    assert found.dtype == dtype
    assert torch.equal(found.float(), expected)
    (grad,) = torch.autograd.grad(found.sum(), x)
    # Each window gives 1 to its maximum.
    assert grad.sum() == found.numel()
    assert grad.dtype == dtype


def test_pools_of_nets_and_keys_are_not_widened():
    seen = []
    net = i3d_resnet(num_classes=2, width=2).train()
    pools = [module for module in net.modules() if isinstance(module, torch.nn.MaxPool3d)]
    for pool in pools:
        pool.register_forward_hook(lambda module, args, result: seen.append(result.dtype))
    block = NonLocalBlock(4)
    block.theta.register_forward_pre_hook(lambda module, args: seen.append(args[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        net(torch.randn(1, 3, 4, 32, 32))
        keys = block._embed(torch.randn(1, 4, 2, 4, 4).bfloat16())[1]
    assert len(pools) == 2
    assert [*seen, keys.dtype] == [torch.bfloat16] * 4


def test_settings_print_and_reach_the_operator():
    x = torch.randn(1, 1, 5, 5, 5, generator=torch.Generator().manual_seed(1))
    settings = {"kernel_size": 2, "stride": 2, "padding": 1, "dilation": 2, "ceil_mode": True}
    assert torch.equal(VideoMaxPool3d(**settings)(x), F.max_pool3d(x, **settings))
    assert "ceil_mode=True" in repr(VideoMaxPool3d(**settings))
