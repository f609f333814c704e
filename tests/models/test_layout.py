import pytest
import torch

from gcvideo.models import Placement, apply_layout, i3d_resnet, slow_resnet
from gcvideo.nn import global_context


@pytest.mark.parametrize("build", [slow_resnet, i3d_resnet])
@pytest.mark.parametrize("layout", ["auto", "folded", "contiguous"])
@pytest.mark.parametrize("is_mixed", [False, True])
def test_gradients_have_the_strides_of_their_parameters(build, layout, is_mixed):
    """DDP compares all of them, also those of axes of size one, and copies where they differ."""
    net = build(num_classes=3, width=16, placement=Placement(block=global_context, res3=[1]))
    memory_format = apply_layout(net, layout)
    clips = torch.randn(2, 3, 4, 32, 32).contiguous(memory_format=memory_format)
    with torch.autocast("cpu", torch.bfloat16, enabled=is_mixed):
        logits = net(clips)
    logits.float().square().sum().backward()
    strides = {name: (p.stride(), p.grad.stride()) for name, p in net.named_parameters()}
    assert {name: pair for name, pair in strides.items() if pair[0] != pair[1]} == {}
