import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from gcvideo.nn import NonLocalBlock
from gcvideo.nn import _pairwise as pairwise
from gcvideo.nn import _softmax_products as products
from gcvideo.nn._bfloat16 import has_bfloat16_products
from gcvideo.nn._softmax_products import aggregate_by_products, suits_products

needs_bfloat16 = pytest.mark.skipif(
    not has_bfloat16_products(), reason="no bfloat16 on this processor"
)


@pytest.fixture(params=[3, 512])
def num_rows(request, monkeypatch):
    monkeypatch.setattr(products, "_NUM_ROWS", request.param)


def draw(p, k, d, e, dtype=torch.float64, scale=1.0):
    generator = torch.Generator().manual_seed(0)
    shapes = (2, p, d), (2, k, d), (2, k, e)
    # Keys away from zero, as behind a bias.
    q, key, v = (torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)
    return [q.mul_(scale).requires_grad_(), key.add_(3).requires_grad_(), v.requires_grad_()]


@pytest.mark.usefixtures("num_rows")
def test_results_and_gradients_are_those_of_the_map():
    q, k, v = inputs = draw(7, 5, 4, 3)
    expected = pairwise.softmax_map(q, k, 0.7) @ v
    torch.testing.assert_close(aggregate_by_products(q, k, v, 0.7), expected)
    assert torch.autograd.gradcheck(lambda *given: aggregate_by_products(*given, 0.7), inputs)


@needs_bfloat16
@pytest.mark.parametrize("scale", [1, 4, 16])  # deviation of the scores
def test_in_bfloat16_the_error_is_that_of_flash_attention(scale):
    exact = draw(1568, 392, 64, 64, scale=scale)
    target = torch.randn(2, 1568, 64, dtype=torch.float64)
    expected = outputs_and_gradients(
        lambda q, k, v: pairwise.softmax_map(q, k, 1 / 8) @ v, exact, target
    )

    def flash(q, k, v):
        with sdpa_kernel([SDPBackend.FLASH_ATTENTION]):
            q, k, v = (rows[:, None] for rows in (q, k, v))
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=1 / 8)[:, 0]

    errors = [
        [
            float((found.double() - wanted).norm() / wanted.norm())
            for found, wanted in zip(
                outputs_and_gradients(form, exact, target, torch.bfloat16), expected, strict=True
            )
        ]
        for form in (lambda *given: aggregate_by_products(*given, 1 / 8), flash)
    ]
    for ours, theirs in zip(*errors, strict=True):
        assert ours < 2 * theirs + 1e-3


def outputs_and_gradients(form, inputs, target, dtype=torch.float64):
    inputs = [t.detach().to(dtype).requires_grad_() for t in inputs]
    y = form(*inputs)
    return y.detach(), *torch.autograd.grad(y, inputs, target.to(dtype))


def test_they_are_chosen_for_bfloat16_on_cpus_without_amx(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: bool(chosen))
    monkeypatch.setattr(products, "has_bfloat16_products", lambda: True)
    wide, narrow = draw(4, 4, 4, 4), draw(4, 4, 4, 4, torch.bfloat16)
    assert suits_products(*narrow)
    assert not suits_products(*wide)
    assert not suits_products(*narrow[:2], wide[2])
    assert not suits_products(*(t.to("meta") for t in narrow))
    chosen.append(True)
    assert not suits_products(*narrow)


@needs_bfloat16
@pytest.mark.parametrize("is_switched_off", [False, True])
def test_a_block_uses_them_unless_flash_attention_is_switched_off(is_switched_off, monkeypatch):
    used = []

    def aggregate(query, key, value, scale):
        used.append(query.dtype)
        return aggregate_by_products(query, key, value, scale)

    monkeypatch.setattr(pairwise, "aggregate_by_products", aggregate)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    block = NonLocalBlock(8, sub_sample="none")
    torch.nn.init.normal_(block.norm.weight)
    x = torch.randn(2, 8, 2, 3, 3)
    backends = [SDPBackend.MATH] if is_switched_off else [SDPBackend.FLASH_ATTENTION]
    with sdpa_kernel(backends), torch.autocast("cpu", torch.bfloat16):
        found = block(x)
    assert used == ([] if is_switched_off else [torch.bfloat16])
    torch.testing.assert_close(found, block(x), atol=0.1, rtol=0.1)
