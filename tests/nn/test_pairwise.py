import pytest
import torch

from gcvideo.nn import _pairwise as pairwise


def rows(n, p, d):
    return torch.randn(n, p, d, dtype=torch.float64)


@pytest.mark.parametrize("e", [2, 3, 5])
def test_softmax_aggregation_equals_map_times_value(e):
    q, k, v = rows(2, 7, 3), rows(2, 5, 3), rows(2, 5, e)
    expected = pairwise.softmax_map(q, k, 0.7) @ v
    torch.testing.assert_close(pairwise.aggregate_softmax(q, k, v, 0.7), expected)


@pytest.mark.parametrize("p", [1024, 1026, 1027])
def test_softmax_aggregation_of_many_queries_has_the_gradients_of_the_map(p):
    inputs = [rows(2, p, 3), rows(2, 5, 3), rows(2, 5, 4)]
    expected = [t.clone().requires_grad_() for t in inputs]
    found = [t.clone().requires_grad_() for t in inputs]
    target = rows(2, p, 4)
    ((pairwise.softmax_map(*expected[:2], 0.7) @ expected[2]) * target).sum().backward()
    (pairwise.aggregate_softmax(*found, 0.7) * target).sum().backward()
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize(
    ("num_queries", "num_heads"), [(6272, 4), (1568, 4), (1026, 2), (1027, 1), (784, 1)]
)
def test_many_queries_are_spread_over_heads_for_the_threads_of_the_backward_pass(
    num_queries, num_heads, monkeypatch
):
    def attend(query, key, value, scale):
        assert query.shape == (1, num_heads, num_queries // num_heads, 8)
        assert key.shape[1] == value.shape[1] == num_heads
        return query

    monkeypatch.setattr(pairwise.F, "scaled_dot_product_attention", attend)
    query = torch.randn(1, num_queries, 8)
    torch.testing.assert_close(pairwise.aggregate_softmax(query, query, query, 1.0), query)


@pytest.mark.parametrize(("p", "k", "d"), [(20, 18, 2), (3, 2, 9)])
def test_dot_product_aggregation_equals_map_times_value_in_both_orders(p, k, d):
    q, key, v = rows(2, p, d), rows(2, k, d), rows(2, k, d + 1)
    weight = torch.randn(4, d + 1, dtype=torch.float64)
    expected = pairwise.dot_product_map(q, key) @ v @ weight.T
    torch.testing.assert_close(pairwise.aggregate_dot_product(q, key, v, weight), expected)


def test_concatenation_aggregation_equals_map_times_value():
    u, v, g = rows(2, 9, 1)[..., 0], rows(2, 6, 1)[..., 0], rows(2, 6, 3)
    u[0], v[1] = 100.0, -100.0  # every key seen, no key seen
    expected = pairwise.concatenation_map(u, v) @ g
    torch.testing.assert_close(pairwise.aggregate_concatenation(u, v, g), expected)


def test_concatenation_aggregation_has_the_gradients_of_the_map():
    inputs = [rows(1, 5, 1)[..., 0], rows(1, 4, 1)[..., 0], rows(1, 4, 2)]
    inputs = [t.clone().requires_grad_() for t in inputs]
    assert torch.autograd.gradcheck(pairwise.aggregate_concatenation, inputs)


def test_concatenation_prefix_sums_keep_float32_accuracy_over_thousands_of_keys():
    u, v, g = torch.randn(1, 500), torch.randn(1, 6272), torch.randn(1, 6272, 4)
    expected = pairwise.concatenation_map(u.double(), v.double()) @ g.double()
    error = pairwise.aggregate_concatenation(u, v, g) - expected
    assert error.abs().max() < 1e-5 * expected.std()


def test_float16_dot_products_over_many_keys_do_not_overflow():
    q, k = torch.full((1, 8, 2), 8.0).half(), torch.full((1, 4096, 2), 8.0).half()
    assert pairwise.aggregate_dot_product(q, k, k, torch.eye(2).half()).isfinite().all()
