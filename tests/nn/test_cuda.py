import functools

import pytest
import torch

from gcvideo.nn import CrissCrossBlock, NonLocalBlock, global_context, squeeze_excitation

pytestmark = pytest.mark.gpu

BLOCKS = {
    "gc": functools.partial(global_context, ratio=1 / 4),
    "se": functools.partial(squeeze_excitation, ratio=1 / 4),
    "nl": functools.partial(NonLocalBlock, kind="embedded_gaussian"),
    "nl_dot": functools.partial(NonLocalBlock, kind="dot_product"),
    "nl_concat": functools.partial(NonLocalBlock, kind="concatenation"),
    "cc": CrissCrossBlock,
}


def make(name):
    block = BLOCKS[name](32).eval()
    for parameter in block.parameters():
        torch.nn.init.uniform_(parameter, -0.2, 0.2)
    return block


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_gives_the_same_numbers_on_cuda(name):
    block, x = make(name), torch.randn(2, 32, 4, 14, 14)
    expected = block(x)
    layout = torch.channels_last_3d
    for given in (x.cuda(), x.cuda().contiguous(memory_format=layout)):
        torch.testing.assert_close(block.cuda()(given).cpu(), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_trains_in_bf16_on_cuda(name):
    block, x = make(name).cuda().train(), torch.randn(2, 32, 4, 14, 14, device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        y = block(x)
    y.float().square().mean().backward()
    assert torch.isfinite(y).all()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in block.parameters())
