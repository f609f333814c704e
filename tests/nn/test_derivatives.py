"""All derivatives that torch offers, of all blocks, against central differences and each other."""

import pytest
import torch
from block_reference import LAYOUTS
from torch._dynamo.backends.common import aot_autograd
from torch._functorch.aot_autograd import make_boxed_func
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gcvideo.nn import (
    ContextBlock,
    CrissCrossBlock,
    NonLocalBlock,
    attention_pool,
    simplified_non_local,
    squeeze_excitation,
)
from gcvideo.nn._attention_pool import attention_pool_and_input

CONTEXT = {
    "gc thw": lambda c: ContextBlock(c, ratio=1 / 2),
    "gc hw": lambda c: ContextBlock(c, ratio=1 / 2, axes="hw"),
    "gc t": lambda c: ContextBlock(c, ratio=1 / 2, axes="t", fusion=("mul", "add")),
}
BLOCKS = CONTEXT | {
    "snl": simplified_non_local,
    "se": lambda c: squeeze_excitation(c, ratio=1 / 2),
    "cc": lambda c: CrissCrossBlock(c, reduction=2),
    "nl gaussian": lambda c: NonLocalBlock(c, kind="gaussian"),
    "nl embedded": lambda c: NonLocalBlock(c, axes="hw"),
    "nl dot product": lambda c: NonLocalBlock(c, kind="dot_product"),
    "nl concatenation": lambda c: NonLocalBlock(c, kind="concatenation"),
}


@pytest.fixture(params=BLOCKS)
def block(request, randomised):
    return randomised(BLOCKS[request.param](4))


def clips(n=2):
    return torch.randn(n, 4, 2, 2, 2, dtype=torch.float64)


def central(function, x, direction, step=1e-6):
    with torch.no_grad():
        return (function(x + step * direction) - function(x - step * direction)) / (2 * step)


def close(found, wanted):
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)


@pytest.mark.filterwarnings(
    "ignore:There is a performance drop because we have not yet implemented"
)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("function", [attention_pool, attention_pool_and_input])
def test_attention_pooling_has_first_and_second_derivatives_in_both_modes(function, layout):
    sizes = ((2, 3, 4), (1, 3), (1,))
    x, weight, bias = (torch.randn(size, dtype=torch.float64) for size in sizes)
    inputs = [t.requires_grad_() for t in (LAYOUTS[layout](x), weight, bias)]
    batched = {"check_batched_grad": True}
    assert gradcheck(
        function, inputs, check_forward_ad=True, check_batched_forward_grad=True, **batched
    )
    assert gradgradcheck(function, inputs, check_fwd_over_rev=True, **batched)


def test_reverse_mode_is_the_central_difference_for_input_and_weights(block):
    x = clips(1).requires_grad_()
    assert gradcheck(lambda x, *_: block(x), (x, *block.parameters()))


@pytest.mark.parametrize("has_gradients", [True, False])
def test_forward_mode_is_the_central_difference(block, has_gradients):
    x, direction = clips(), torch.randn(2, 4, 2, 2, 2, dtype=torch.float64)
    wanted = central(block, x, direction)
    with torch.set_grad_enabled(has_gradients):
        close(jvp(block, (x,), (direction,))[1], wanted)
        with forward_ad.dual_level():
            y = block(forward_ad.make_dual(x, direction))
            close(forward_ad.unpack_dual(y).tangent, wanted)


def test_forward_mode_goes_through_the_weights(block):
    x = clips()
    values = {name: p.detach() for name, p in block.named_parameters()}
    directions = {name: torch.randn_like(p) for name, p in values.items()}

    def at(step):
        moved = {name: p + step * directions[name] for name, p in values.items()}
        return functional_call(block, moved, (x,))

    wanted = central(at, torch.zeros(()).double(), torch.ones(()).double())
    found = jvp(lambda p: functional_call(block, p, (x,)), (values,), (directions,))[1]
    close(found, wanted)


def test_jacobians_of_both_modes_agree(block):
    x = clips(1)
    jacobian = jacrev(block)(x)
    close(jacfwd(block)(x), jacobian)
    direction = torch.randn_like(x)
    close(torch.tensordot(jacobian, direction, 5), central(block, x, direction))


def test_hessians_are_differences_of_gradients(block):
    def loss(x):
        return block(x).square().sum()

    x = clips(1)
    direction = torch.randn_like(x)
    wanted = central(grad(loss), x, direction)
    close(torch.tensordot(hessian(loss)(x), direction, 5), wanted)
    close(torch.tensordot(jacrev(jacrev(loss))(x), direction, 5), wanted)
    close(jvp(grad(loss), (x,), (direction,))[1], wanted)


def test_gradients_of_each_clip_by_vmap_are_those_of_a_loop(block):
    x = clips(3)
    parameters = {name: p.detach() for name, p in block.named_parameters()}

    def loss(parameters, clip):
        return functional_call(block, parameters, (clip[None],)).square().sum()

    found = vmap(grad(loss), (None, 0))(parameters, x)
    for index in range(len(x)):
        loss_of_one = block(x[index, None]).square().sum()
        wanted = torch.autograd.grad(loss_of_one, list(block.parameters()))
        close([found[name][index] for name in parameters], list(wanted))


def test_a_penalty_on_gradients_has_gradients(block):
    x, direction = clips().requires_grad_(), torch.randn(2, 4, 2, 2, 2, dtype=torch.float64)

    def penalty(x):
        (gradient,) = torch.autograd.grad(block(x).square().sum(), x, create_graph=True)
        return gradient.square().sum()

    with sdpa_kernel(SDPBackend.MATH):
        (second,) = torch.autograd.grad(penalty(x), x)
        with torch.enable_grad():
            sides = [penalty(x + sign * 1e-6 * direction) for sign in (1, -1)]
    close((second * direction).sum(), (sides[0] - sides[1]) / 2e-6)


@pytest.mark.parametrize("name", CONTEXT)
def test_the_third_derivative_is_there(randomised, name):
    block = randomised(CONTEXT[name](4))
    x = clips(1).requires_grad_()
    value = block(x).pow(3).sum()
    for _ in range(2):
        (gradient,) = torch.autograd.grad(value, x, create_graph=True)
        value = gradient.square().sum()
    assert torch.autograd.grad(value, x)[0].abs().max() > 0


def test_low_precision_sums_in_float32_under_transforms_too():
    x = torch.randn(1, 64, 2000).bfloat16()
    weight, bias = torch.randn(1, 64), torch.zeros(1)
    wanted = attention_pool(x.double(), weight.double(), bias.double()).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = vmap(lambda clip: attention_pool(clip[None], weight, bias)[0])(x)
    assert torch.equal(found, wanted)


def operators_in(function):
    with FlopCounterMode(display=False) as counter:
        function()
    return {str(name) for name in counter.get_flop_counts()["Global"]}


def test_ordinary_passes_use_the_operators_also_after_a_transform(randomised):
    block, x = randomised(ContextBlock(4, ratio=1 / 2)), clips().requires_grad_()
    fused = {"gcvideo.attention_pool", "gcvideo.attention_pool_backward"}
    assert not fused & operators_in(lambda: jvp(block, (x.detach(),), (clips(),)))
    assert fused <= operators_in(lambda: block(x).sum().backward())


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", CONTEXT)
def test_compiled_blocks_keep_the_operators_and_take_transforms(randomised, name):
    block, x, direction = randomised(CONTEXT[name](4)), clips(), clips()
    found = []
    torch._dynamo.reset()  # of what other cases compiled of the same code

    def note(graph, _):
        found.extend(str(node.target) for node in graph.graph.nodes)
        return make_boxed_func(graph)

    compiled = torch.compile(block, backend=aot_autograd(fw_compiler=note), fullgraph=True)
    compiled(x).sum().backward()
    assert {
        "gcvideo.attention_pool.default",
        "gcvideo.attention_pool_backward.default",
    } <= set(found)
    wanted = central(block, x, direction)
    close(jvp(torch.compile(block, backend="aot_eager"), (x,), (direction,))[1], wanted)
