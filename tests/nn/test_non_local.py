import block_reference as reference
import pytest
import torch
from torch import nn

from gcvideo.nn import NonLocalBlock

KINDS = ["gaussian", "embedded_gaussian", "dot_product", "concatenation"]
LAYOUTS = [
    ((5,), "thw", "none"),
    ((3, 4), "thw", "none"),
    ((5, 4), "thw", "before"),
    ((4, 5), "thw", "after"),
    ((2, 3, 2), "thw", "none"),
    ((2, 4, 3), "thw", "before"),
    ((2, 4, 3), "thw", "after"),
    ((2, 3, 2), "hw", "none"),
    ((2, 4, 3), "hw", "before"),
    ((2, 4, 3), "hw", "after"),
    ((3, 2, 2), "t", "none"),
]
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
@pytest.mark.parametrize(("grid", "axes", "sub_sample"), LAYOUTS, ids=str)
def test_block_equals_the_equations(randomised, kind, grid, axes, sub_sample):
    block = randomised(
        NonLocalBlock(4, kind=kind, axes=axes, sub_sample=sub_sample, inner_channels=3)
    )
    x = torch.randn(2, 4, *grid, dtype=torch.float64)
    scale = 3**-0.5 if kind == "embedded_gaussian" else 1
    expected = reference.non_local_block(x, block.state_dict(), kind, axes, sub_sample, scale)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(
    ("kind", "scale", "factor"),
    [
        ("gaussian", True, 4**-0.5),
        ("gaussian", False, 1),
        ("embedded_gaussian", True, 2**-0.5),
        ("embedded_gaussian", False, 1),
    ],
)
def test_scale_can_be_chosen(randomised, kind, scale, factor):
    block = randomised(NonLocalBlock(4, kind=kind, scale=scale, norm=False))
    x = torch.randn(1, 4, 2, 2, 2, dtype=torch.float64)
    expected = reference.non_local_block(x, block.state_dict(), kind, "thw", "before", factor)
    torch.testing.assert_close(block(x), expected)


@kinds
@pytest.mark.parametrize(("axes", "shape"), [("thw", (2, 48, 12)), ("hw", (6, 16, 4))])
def test_attention_is_the_map_of_the_block(kind, axes, shape):
    x = torch.randn(2, 8, 3, 4, 4)
    a = NonLocalBlock(8, kind=kind, axes=axes).attention(x)
    assert a.shape == shape
    if "gaussian" in kind:
        torch.testing.assert_close(a.sum(-1), torch.ones(shape[:2]))


def test_attention_over_time_folds_positions_into_the_batch():
    block = NonLocalBlock(8, axes="t", sub_sample="none")
    assert block.attention(torch.randn(2, 8, 3, 4, 5)).shape == (40, 3, 3)


@kinds
@pytest.mark.parametrize(("grid", "axes", "sub_sample"), LAYOUTS, ids=str)
def test_rows_of_some_queries_are_those_of_the_map(randomised, kind, grid, axes, sub_sample):
    block = randomised(
        NonLocalBlock(4, kind=kind, axes=axes, sub_sample=sub_sample, inner_channels=3)
    )
    x = torch.randn(2, 4, *grid, dtype=torch.float64)
    a, rows = block.attention(x), block.attention_rows(x)
    for queries in ([1], [2, 0, 2], range(a.shape[1]), []):
        queries = torch.tensor(queries, dtype=torch.int64)
        torch.testing.assert_close(rows(queries), a[:, queries], rtol=1e-12, atol=0)


@kinds
def test_rows_of_some_queries_are_read_without_the_map(largest_new_tensor, kind):
    block = NonLocalBlock(8, kind=kind, sub_sample="none")
    with largest_new_tensor:
        block.attention_rows(torch.randn(1, 8, 4, 8, 8))(torch.tensor([3, 200]))
    assert largest_new_tensor.numel == 8 * 256  # the input


@pytest.mark.parametrize("query", [-1, 48])
def test_queries_outside_of_the_map_are_refused(query):
    rows = NonLocalBlock(8).attention_rows(torch.randn(1, 8, 3, 4, 4))
    with pytest.raises(
        ValueError, match=r"queries range from .*, but the map has rows from 0 to 47; give"
    ):
        rows(torch.tensor([0, query]))


@kinds
def test_the_update_is_what_the_block_adds(randomised, kind):
    block = randomised(NonLocalBlock(4, kind=kind))
    x = torch.randn(2, 4, 2, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(block.update(x), block(x) - x)


def test_the_update_keeps_digits_that_the_sum_loses(randomised):
    block = randomised(NonLocalBlock(4))
    x = torch.randn(1, 4, 2, 4, 4, dtype=torch.float64)
    block.norm.weight.data *= 1e-6
    block.norm.bias.data *= 1e-6
    expected = block.update(x)
    found = block.float().update(x.float())
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=0)
    assert not torch.allclose((block(x.float()) - x.float()).double(), expected, rtol=1e-3, atol=0)


@kinds
def test_channels_last_input_is_read_without_a_copy(kind, largest_new_tensor):
    block = NonLocalBlock(8, kind=kind, inner_channels=2)
    x = torch.randn(2, 8, 2, 4, 4)
    free = x.contiguous(memory_format=torch.channels_last_3d)
    with largest_new_tensor:
        block._embed(free)
    copied = largest_new_tensor.numel
    with largest_new_tensor:
        block._embed(x)
    assert largest_new_tensor.numel == x.numel() > copied


def test_the_recorder_sees_a_map_of_all_pairs(largest_new_tensor):
    with largest_new_tensor:
        NonLocalBlock(8, sub_sample="none").attention(torch.randn(1, 8, 4, 8, 8))
    assert largest_new_tensor.numel == 256 * 256


def test_batch_norm_is_found_by_the_conversion_to_sync_batch_norm():
    block = nn.SyncBatchNorm.convert_sync_batchnorm(NonLocalBlock(8))
    assert isinstance(block.norm, nn.SyncBatchNorm)


def test_batch_norm_equals_one_over_the_grid(randomised):
    block = randomised(NonLocalBlock(4, sub_sample="none")).train()
    x = torch.randn(2, 4, 2, 3, 3, dtype=torch.float64)
    update = block(x) - x
    torch.testing.assert_close(update.mean((0, 2, 3, 4)), block.norm.bias.detach())
    deviation = update.std((0, 2, 3, 4), correction=0)
    torch.testing.assert_close(deviation, block.norm.weight.detach().abs(), rtol=1e-3, atol=1e-3)


def test_weights_start_small_and_biases_at_zero():
    block = NonLocalBlock(128)
    for layer in (block.theta, block.phi, block.g, block.out):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.1)
        assert not layer.bias.any()


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("kind", "gauss", "gaussian, embedded_gaussian, dot_product, concatenation"),
        ("axes", "th", "thw, hw, t"),
        ("sub_sample", "yes", "none, before, after"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_unknown_words_are_refused(name, value, allowed):
    with pytest.raises(ValueError, match=f"{name} is '{value}'; choose one of {allowed}"):
        NonLocalBlock(8, **{name: value})


def test_pooling_keys_over_time_only_attention_is_refused():
    with pytest.raises(ValueError, match=r"sub_sample='before' pools .*pass sub_sample='none'"):
        NonLocalBlock(8, axes="t")


@pytest.mark.parametrize("sub_sample", ["before", "after"])
@pytest.mark.parametrize("grid", [(6,), (4, 1, 6), (2, 2, 2, 2)], ids=str)
def test_grids_that_cannot_be_pooled_are_refused(sub_sample, grid):
    with pytest.raises(ValueError, match=r"max-pools .* got a grid of .*pass sub_sample='none'"):
        NonLocalBlock(8, sub_sample=sub_sample)(torch.zeros(1, 8, *grid))


def test_no_inner_channel_is_refused():
    with pytest.raises(ValueError, match="inner_channels must be at least 1, got 0"):
        NonLocalBlock(1)
