import functools

import pytest
import torch
from block_reference import LAYOUTS

from gcvideo.nn import CrissCrossBlock, NonLocalBlock, global_context, squeeze_excitation
from gcvideo.nn._attention_pool import attention_pool_and_input, pool, pool_backward

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


# Odd sizes, one position, the maps of a ResNet-50 at 8 x 224 x 224, more clips than a grid is high.
POOLED = [(2, 3, 1), (2, 17, 5), (3, 48, 77), (2, 512, 6272), (2, 1024, 1568), (2, 2048, 392)]
POOLED += [(70_000, 16, 8), (2, 5000, 20)]


def pooled_by_equations(x, weight, bias, dy, g):
    x, weight, bias = (t.detach().double().requires_grad_() for t in (x, weight, bias))
    weights = (weight @ x).squeeze(1).add(bias).softmax(-1)
    context = (x @ weights.unsqueeze(2)).squeeze(2)
    loss = (context * g.double()).sum() + (x * dy.double()).sum()
    return context, weights, *torch.autograd.grad(loss, (x, weight))


@pytest.mark.parametrize("shape", POOLED, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_attention_pooling_on_cuda_equals_float64_and_repeats_itself(shape, layout, dtype):
    n, c, _ = shape
    x, dy = (LAYOUTS[layout](torch.randn(shape, device="cuda").to(dtype)) for _ in range(2))
    weight, g = torch.randn(1, c, device="cuda") / c**0.5, torch.randn(n, c, device="cuda")
    bias = torch.randn(1, device="cuda")

    def run():
        context, weights = pool(x, weight, bias)
        return context, weights, *pool_backward(dy, g, x, weight, weights, context)

    found = run()
    assert all(torch.equal(a, b) for a, b in zip(found, run(), strict=True))
    assert found[2].stride() == x.stride()
    for index, (ours, wanted) in enumerate(
        zip(found, pooled_by_equations(x, weight, bias, dy, g), strict=True)
    ):
        # Only the gradient of x has its type; that of the mask sums over clips and positions.
        tolerance = (
            max(torch.finfo(dtype).eps, 1e-5) if index == 2 else (2e-5, 2e-5, 0, 2e-3)[index]
        )
        torch.testing.assert_close(ours.double(), wanted, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_logits_of_ten_thousand_stay_finite_on_cuda(layout):
    x = torch.randn(2, 3, 6272, device="cuda") / 10
    x[:, 0] = -1
    x[:, 0, 6271] = 1
    x = LAYOUTS[layout](x).requires_grad_()
    weight = torch.tensor([[1e4, 0.0, 0.0]], device="cuda", requires_grad=True)
    _, context = attention_pool_and_input(x, weight, torch.zeros(1, device="cuda"))
    torch.testing.assert_close(context, x[:, :, 6271], rtol=0, atol=0)
    context.sum().backward()
    assert x.grad.isfinite().all()
    assert weight.grad.isfinite().all()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("autocast", [False, True])
def test_a_compiled_context_block_trains_like_the_block_on_cuda(autocast):
    torch.compiler.reset()
    block = make("gc").cuda().train()
    x = torch.randn(2, 32, 4, 14, 14, device="cuda")
    x = x.contiguous(memory_format=torch.channels_last_3d).requires_grad_()

    def step(function):
        with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
            z = function(x)
        return z, *torch.autograd.grad(z.float().sin().sum(), [x, *block.parameters()])

    tolerance = 3e-2 if autocast else 1e-3
    compiled = torch.compile(block, fullgraph=True)
    torch.testing.assert_close(step(compiled), step(block), atol=tolerance, rtol=tolerance)
