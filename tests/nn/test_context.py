from functools import partial

import block_reference as reference
import pytest
import torch

from gcvideo.comparison._step_cost import peak_bytes
from gcvideo.nn import ContextBlock, global_context, simplified_non_local, squeeze_excitation
from gcvideo.nn._attention_pool_formula import context_of_grid
from gcvideo.nn._grid import pooled_dims

GRIDS = [(7,), (3, 4), (2, 3, 4)]
FUSIONS = [("add",), ("mul",), ["mul", "add"], ("add", "mul")]
DESIGNS = {
    "linear": {"ratio": None},
    "bottleneck": {"norm": False, "activation": False},
    "bottleneck+relu": {"norm": False},
    "bottleneck+ln+relu": {},
}


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("pooling", ["att", "avg"])
@pytest.mark.parametrize("fusion", FUSIONS, ids=str)
def test_block_equals_the_equations(randomised, grid, pooling, fusion):
    block = randomised(ContextBlock(8, pooling=pooling, fusion=fusion))
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    expected = reference.context_block(x, block.state_dict(), "thw")
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("axes", ["hw", "t"])
@pytest.mark.parametrize("pooling", ["att", "avg"])
def test_single_axes_equal_the_equations(randomised, axes, pooling):
    block = randomised(ContextBlock(8, pooling=pooling, axes=axes, fusion=("mul", "add")))
    x = torch.randn(2, 8, 2, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(block(x), reference.context_block(x, block.state_dict(), axes))


@pytest.mark.parametrize("axes", ["thw", "hw", "t"])
def test_the_form_for_other_programs_has_the_context_of_the_equations(randomised, axes):
    block = randomised(ContextBlock(8, axes=axes))
    x = torch.randn(2, 8, 2, 3, 4, dtype=torch.float64)
    mask, pooled = block.mask, pooled_dims(x.ndim, axes)
    found = context_of_grid(x, mask.weight, mask.bias, pooled)
    expected = (x * block.attention(x).unsqueeze(1)).sum(pooled)
    torch.testing.assert_close(found, expected)
    rounded = context_of_grid(x.bfloat16(), mask.weight.float(), mask.bias.float(), pooled)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded.double(), expected, atol=0.05, rtol=0)


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS.keys())
@pytest.mark.parametrize("mul_start", ["half", "identity"])
def test_transform_designs_equal_the_equations(randomised, design, mul_start):
    block = randomised(ContextBlock(8, fusion=("mul", "add"), mul_start=mul_start, **design))
    x = torch.randn(2, 8, 5, dtype=torch.float64)
    expected = reference.context_block(
        x,
        block.state_dict(),
        "thw",
        activation="activation" not in design and "ratio" not in design,
        mul_scale={"half": 1, "identity": 2}[mul_start],
    )
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(("axes", "kept"), [("thw", ()), ("hw", (2,)), ("t", (3, 4))])
@pytest.mark.parametrize("pooling", ["att", "avg"])
def test_pool_is_the_attention_weighted_sum(randomised, axes, kept, pooling):
    block = randomised(ContextBlock(8, axes=axes, pooling=pooling))
    x = torch.randn(2, 8, 2, 3, 4, dtype=torch.float64)
    weighted = block.attention(x).unsqueeze(1) * x
    pooled = {"thw": (2, 3, 4), "hw": (3, 4), "t": 2}[axes]
    assert block.pool(x).shape == (2, 8, *kept)
    torch.testing.assert_close(block.pool(x), weighted.sum(pooled))
    total = block.attention(x).sum(tuple(d - 1 for d in pooled) if axes != "t" else 1)
    torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize("fusion", [("mul",), ("mul", "add")], ids=str)
def test_multiplication_starts_at_half_or_at_the_identity(fusion):
    x = torch.randn(2, 8, 2, 3, 4)
    assert torch.equal(ContextBlock(8, fusion=fusion)(x), x / 2)
    assert torch.equal(ContextBlock(8, fusion=fusion, mul_start="identity")(x), x)


def test_context_ignores_the_order_of_positions(randomised):
    block = randomised(ContextBlock(8))
    x = torch.randn(2, 8, 24, dtype=torch.float64)
    torch.testing.assert_close(block.pool(x[..., torch.randperm(24)]), block.pool(x))


def test_constant_input_gives_uniform_attention(randomised):
    weights = randomised(ContextBlock(8)).attention(torch.ones(2, 8, 2, 3, 4).double())
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / 24))


def test_every_frame_reaches_every_frame(randomised):
    block = randomised(ContextBlock(8))
    x = torch.randn(1, 8, 4, 3, 3, dtype=torch.float64)
    y = x.clone()
    y[:, :, -1] += 1
    assert not torch.allclose(block(x)[:, :, 0], block(y)[:, :, 0])


@pytest.mark.parametrize("fusion", FUSIONS, ids=str)
def test_eps_is_that_of_every_norm(randomised, fusion):
    block = randomised(ContextBlock(8, fusion=fusion, eps=1e-2))
    x = torch.randn(2, 8, 5, dtype=torch.float64)
    expected = reference.context_block(x, block.state_dict(), "thw", eps=1e-2)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("eps", [0, -1e-5, float("nan")])
def test_an_eps_that_is_not_positive_is_refused(eps):
    with pytest.raises(ValueError, match=rf"eps is {eps}; it must be positive"):
        ContextBlock(8, eps=eps)


def test_mask_starts_with_kaiming_fan_in():
    block = ContextBlock(4096, ratio=1 / 2048)
    assert block.mask.weight.std().item() == pytest.approx((2 / 4096) ** 0.5, rel=0.05)
    assert not block.mask.bias.any()


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("pooling", "max", "att, avg"),
        ("axes", "th", "thw, hw, t"),
        ("mul_start", "one", "half, identity"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_unknown_words_are_refused(name, value, allowed):
    with pytest.raises(ValueError, match=f"{name} is '{value}'; choose one of {allowed}"):
        ContextBlock(8, **{name: value})


@pytest.mark.parametrize("fusion", [(), ("sum",), ("add", "add"), "add"], ids=str)
@pytest.mark.usefixtures("unchecked")
def test_empty_unknown_and_repeated_fusions_are_refused(fusion):
    message = r"fusion must list 'add', 'mul' or both, each once, got .*published block is"
    with pytest.raises(ValueError, match=message):
        ContextBlock(8, fusion=fusion)


# Torch's own: its tracer looks at all tensors.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_a_block_compiles_as_one_graph_that_trains_like_the_block(layout):
    torch.compiler.reset()
    block = ContextBlock(8, fusion=("mul", "add"))
    for parameter in block.parameters():
        torch.nn.init.uniform_(parameter, -0.5, 0.5)
    x = torch.randn(2, 8, 2, 3, 4).contiguous(memory_format=layout).requires_grad_()

    def step(function):
        z = function(x)
        return z, *torch.autograd.grad(z.sin().sum(), [x, *block.parameters()])

    compiled = torch.compile(block, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(step(compiled), step(block))


def test_the_sum_of_gradients_costs_no_map_of_its_own():
    block = ContextBlock(64, ratio=1 / 8)
    x = torch.randn(2, 64, 2, 16, 16, requires_grad=True)
    dy = torch.randn_like(x)

    def step():
        torch.autograd.grad(block(x), [x, *block.parameters()], dy)

    # The output and the gradient of the input.
    assert peak_bytes(step) < 2.25 * x.nbytes


def num_parameters(make, widths):
    return sum(p.numel() for width in widths for p in make(width).parameters())


@pytest.mark.parametrize("c", [64, 512])
def test_gc_parameters_follow_the_formula(c):
    r = c // 4
    assert num_parameters(global_context, [c]) == (c + 1) + (c * r + r) + 2 * r + (r * c + c)


def test_squeeze_excitation_has_two_layers_and_no_mask():
    names = {name for name, _ in squeeze_excitation(64).named_parameters()}
    layers = ("reduce.weight", "reduce.bias", "expand.weight", "expand.bias")
    assert names == {f"mul_transform.{layer}" for layer in layers}


def test_squeeze_excitation_can_start_at_the_identity():
    x = torch.randn(2, 32, 5)
    assert torch.equal(squeeze_excitation(32)(x), x / 2)
    assert torch.equal(squeeze_excitation(32, mul_start="identity")(x), x)


def test_squeeze_excitation_of_few_channels_is_refused():
    with pytest.raises(ValueError, match=r"ratio 0.0625 of 8 channels leaves .* 1/8 = 0.125"):
        squeeze_excitation(8)


@pytest.mark.parametrize(
    ("make", "activation"),
    [(partial(squeeze_excitation, ratio=1 / 4), True), (simplified_non_local, False)],
)
def test_published_blocks_equal_their_equations(randomised, make, activation):
    block = randomised(make(8))
    x = torch.randn(2, 8, 2, 3, 4, dtype=torch.float64)
    expected = reference.context_block(x, block.state_dict(), "thw", activation=activation)
    torch.testing.assert_close(block(x), expected)
