import pytest
import torch

from gcvideo.nn import attention_pool, attention_weights


def make(dtype=torch.float64, n=2, c=6, p=30):
    return (
        torch.randn(n, c, p, dtype=dtype),
        torch.randn(1, c, dtype=dtype),
        torch.randn(1, dtype=dtype),
    )


def test_pool_equals_the_sum_over_positions():
    x, weight, bias = make()
    e = (torch.einsum("kc,ncp->np", weight, x) + bias).exp()
    expected = torch.einsum("np,ncp->nc", e / e.sum(1, keepdim=True), x)
    torch.testing.assert_close(attention_pool(x, weight, bias), expected)


def test_weights_sum_to_one_and_ignore_the_bias():
    x, weight, bias = make()
    weights = attention_weights(x, weight, bias)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(weights, attention_weights(x, weight, bias + 5))


def test_large_logits_do_not_overflow():
    x, weight, bias = make(torch.float32)
    assert attention_pool(1e4 * x, weight, bias).isfinite().all()


def test_gradients_are_correct():
    inputs = [t.requires_grad_() for t in make(n=1, c=3, p=5)]
    assert torch.autograd.gradcheck(attention_pool, inputs)


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
