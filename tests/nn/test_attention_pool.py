import pytest
import torch
from block_reference import LAYOUTS
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from gcvideo.comparison._step_cost import peak_bytes
from gcvideo.nn import attention_weights
from gcvideo.nn._attention_pool import attention_pool, attention_pool_and_input, pool, pool_backward


def make(dtype=torch.float64, n=2, c=6, p=30, layout="contiguous"):
    x = LAYOUTS[layout](torch.randn(n, c, p, dtype=dtype))
    weight, bias = torch.randn(1, c, dtype=dtype), torch.randn(1, dtype=dtype)
    return [t.requires_grad_() for t in (x, weight, bias)]


def by_the_equations(x, weight, bias):
    weights = (torch.einsum("kc,ncp->np", weight, x) + bias).softmax(-1)
    return torch.einsum("np,ncp->nc", weights, x)


# Torch's own: its tracer looks at all tensors.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_operators_keep_the_rules_of_torch(layout, dtype):
    x, weight, bias = make(dtype, layout=layout)
    torch.library.opcheck(torch.ops.gcvideo.attention_pool.default, (x, weight, bias))
    context, weights = (t.detach() for t in pool(x, weight, bias))
    fixed = (torch.randn_like(context), x.detach(), weight.detach(), weights, context)
    for dy in (None, torch.randn_like(x.detach())):
        torch.library.opcheck(torch.ops.gcvideo.attention_pool_backward.default, (dy, *fixed))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("used", [(0,), (1,), (0, 1)], ids=["input", "context", "both"])
def test_gradients_of_the_input_that_is_passed_on_equal_those_of_the_equations(layout, used):
    inputs = make(layout=layout)
    expected = (inputs[0], by_the_equations(*inputs))
    found = attention_pool_and_input(*inputs)
    torch.testing.assert_close(found, expected)
    factors = [torch.randn_like(t) for t in expected]
    wanted, ours = (
        torch.autograd.grad(
            sum((factors[i] * t[i]).sum() for i in used), inputs, materialize_grads=True
        )
        for t in (expected, found)
    )
    torch.testing.assert_close(ours, wanted)
    assert ours[0].stride() == inputs[0].stride()


@pytest.mark.parametrize("function", [attention_pool, lambda *t: attention_pool_and_input(*t)[1]])
def test_two_uses_with_the_same_weights_add_their_gradients(function):
    x, weight, bias = make()
    ours, wanted = (
        torch.autograd.grad((f(x, weight, bias) * f(2 * x, weight, bias)).sum(), (x, weight))
        for f in (function, by_the_equations)
    )
    torch.testing.assert_close(ours, wanted)


@pytest.mark.parametrize("function", [attention_pool, lambda *t: attention_pool_and_input(*t)[1]])
def test_the_gradient_of_the_bias_is_there_and_exactly_zero(function):
    x, weight, bias = make(torch.float32)
    function(x, weight, bias).square().sum().backward()
    assert torch.equal(bias.grad, torch.zeros(1))


def test_the_weights_are_constants_to_autograd():
    assert not pool(*make())[1].requires_grad


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "part", [2 * 16 * 500, 16 * 70, 1]
)  # two clips, some positions, one at a time
def test_sums_over_low_precision_maps_are_in_float32(layout, dtype, part, monkeypatch):
    monkeypatch.setattr("gcvideo.nn._attention_pool._PART", part)
    x, weight, bias = make(torch.float32, n=5, c=16, p=500, layout=layout)
    x = x.detach().to(dtype)
    exact = [t.detach().double().requires_grad_() for t in (x, weight, bias)]
    expected = by_the_equations(*exact)
    g, dy = torch.randn(5, 16), torch.randn_like(x)
    context, weights = pool(x, weight, bias)
    torch.testing.assert_close(context.double(), expected, atol=1e-5, rtol=1e-5)
    dx, dw = pool_backward(dy, g, x, weight, weights, context)
    wanted = torch.autograd.grad(
        (expected * g.double()).sum() + (exact[0] * dy.double()).sum(), exact[:2]
    )
    torch.testing.assert_close(dx, wanted[0].to(dtype))
    torch.testing.assert_close(dw.double(), wanted[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_changes_nothing(dtype):
    x, weight, bias = make(torch.float32)
    x = x.detach().to(dtype).requires_grad_()

    def step(enabled):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            same, context = attention_pool_and_input(x, weight, bias)
            loss = same.float().square().sum() + context.float().sin().sum()
            return context, *torch.autograd.grad(loss, (x, weight))

    plain, cast = step(False), step(True)
    assert cast[0].dtype == dtype
    assert all(torch.equal(a, b) for a, b in zip(cast, plain, strict=True))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_forward_pass_copies_no_map_and_the_backward_pass_writes_one(layout):
    x, weight, bias = make(torch.float32, n=2, c=64, p=512, layout=layout)
    context, weights = pool(x, weight, bias)
    g, dy = torch.randn_like(context), torch.randn_like(x)
    small = x.nbytes // 8
    assert peak_bytes(lambda: attention_pool(x, weight, bias)) < small
    backward = peak_bytes(lambda: pool_backward(dy, g, x, weight, weights, context))
    assert x.nbytes <= backward < x.nbytes + small


def test_of_the_size_of_the_map_only_the_map_itself_is_kept():
    x, weight, bias = make()
    kept = []
    with saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        attention_pool_and_input(x, weight, bias)
    large = [t for t in kept if t.numel() >= x.numel()]
    assert [t.data_ptr() for t in large] == [x.data_ptr()]


@pytest.mark.usefixtures("unchecked")
def test_exported_programs_contain_plain_operators_only():
    class Pool(torch.nn.Module):
        def forward(self, x, weight, bias):
            same, context = attention_pool_and_input(x, weight, bias)
            return same + attention_pool(x, weight, bias).unsqueeze(2), context

    inputs = tuple(t.detach() for t in make())
    for strict in (True, False):
        program = torch.export.export(Pool(), inputs, strict=strict)
        names = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
        assert any(name.startswith("aten.bmm") for name in names)
        assert all(name.startswith("aten.") for name in names)
        torch.testing.assert_close(program.module()(*inputs), Pool()(*inputs))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_exported_programs_sum_low_precision_maps_in_float32(layout):
    class Pool(torch.nn.Module):
        forward = staticmethod(attention_pool)

    x, weight, bias = (t.detach() for t in make(c=64, p=2000, layout=layout))
    x, weight = x.bfloat16(), weight / 2
    exact = by_the_equations(x.double(), weight, bias)
    program = torch.export.export(Pool(), (x, weight, bias))
    found = program.module()(x, weight, bias)
    assert found.dtype == torch.bfloat16
    errors = [(y - exact).square().mean().sqrt() for y in (found, exact.bfloat16())]
    assert errors[0] < 1.1 * errors[1]  # nothing but the rounding of the result


def test_the_flop_counter_counts_two_products_forward_and_four_backward():
    x, weight, bias = make(n=2, c=6, p=30)
    with FlopCounterMode(display=False) as forward:
        _, context = attention_pool_and_input(x, weight, bias)
    with FlopCounterMode(display=False) as backward:
        context.sum().backward()
    assert forward.get_total_flops() == 2 * 2 * x.numel()
    assert backward.get_total_flops() == 2 * 4 * x.numel()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_logits_of_ten_thousand_stay_finite(layout):
    x, weight, bias = make(torch.float32, p=300, layout=layout)
    with torch.no_grad():
        weight.copy_(torch.eye(1, 6) * 1e4)
        x[:, 0] = -1
        x[:, 0, 7] = 1
    context = attention_pool(x, weight, bias)
    assert torch.equal(context, x[:, :, 7])
    context.sum().backward()
    assert all(t.grad.isfinite().all() for t in (x, weight))


def test_weights_sum_to_one_and_ignore_the_bias():
    x, weight, bias = make()
    weights = attention_weights(x, weight, bias)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(weights, attention_weights(x, weight, bias + 5))


def test_softmax_is_float32_for_bfloat16_input_and_under_autocast():
    assert attention_weights(*make(torch.bfloat16)).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert attention_weights(*make(torch.float32)).dtype == torch.float32


def test_neither_memory_format_is_copied(largest_new_tensor):
    x = torch.randn(2, 8, 4, 4, 4)
    weight, bias = torch.randn(1, 8), torch.randn(1)
    expected = attention_pool(x.flatten(2), weight, bias)
    channels_last = x.contiguous(memory_format=torch.channels_last_3d)
    with largest_new_tensor:
        for y in (x, channels_last):
            torch.testing.assert_close(attention_pool(y.flatten(2), weight, bias), expected)
    assert largest_new_tensor.numel == 2 * 64  # one weight per position


@pytest.mark.parametrize("grid", [(1,), (5, 7), (3, 4, 5)])
def test_inference_on_channels_last_gives_the_context_of_training(grid):
    rows = 3 * torch.randn(2, *grid, 12)
    x = rows.movedim(-1, 1).flatten(2)
    weight, bias = torch.randn(1, 12), torch.randn(1)
    expected = attention_pool(x.double(), weight.double(), bias.double())
    with torch.no_grad():
        found = attention_pool(x, weight, bias)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
    assert found.dtype == torch.float32


def test_inference_on_channels_last_keeps_large_logits_apart():
    x = torch.zeros(1, 9, 4).mT
    x[:, :, 5] = 1e4
    with torch.no_grad():
        context = attention_pool(x, torch.ones(1, 4), torch.zeros(1))
    assert torch.equal(context, torch.full((1, 4), 1e4))
