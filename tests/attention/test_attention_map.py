import functools

import numpy as np
import pytest
import torch
from block_net import draw_blocks
from torch import nn

from gcvideo.attention._map import DEFAULT_QUERIES, attention_maps, query_cell, temporal_shares
from gcvideo.models import ClipClassifier, Placement, inserted_blocks, slow_resnet
from gcvideo.nn import ContextBlock, CrissCrossBlock, NonLocalBlock

QUERY = (0.3, 0.9, 0.5)


def make_model(block, **places):
    """Weights of the blocks are drawn so large that their maps are far from uniform."""
    placement = Placement(block=block, position="after_relu", **places) if block else Placement()
    net = draw_blocks(slow_resnet(num_classes=3, width=4, placement=placement), std=0.6)
    return ClipClassifier(net, mean=(0.45,) * 3, std=(0.225,) * 3).eval()


def non_local(**settings):
    return make_model(functools.partial(NonLocalBlock, **settings), res4=[5])


def context(**settings):
    return make_model(functools.partial(ContextBlock, **settings), res4=[5])


def make_view(size=64, num_frames=3):
    return torch.randint(0, 256, (3, num_frames, size, size), dtype=torch.uint8)


@torch.no_grad()
def block_and_input(model, view):
    """What the only block is given, kept by a hook of our own."""
    block = inserted_blocks(model.net)[-1].module
    kept = []
    handle = block.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    model(view[None, None])
    handle.remove()
    return block, kept[-1]


@torch.no_grad()
def direct_softmax(model, view, *, pooled):
    """The logits and weights of embedded Gaussian attention over all positions, as (t, h, w, ...)."""
    block, x = block_and_input(model, view)
    keys = nn.functional.max_pool3d(x, (1, 2, 2)) if pooled else x
    theta = torch.einsum("dc,cthw->thwd", block.theta.weight, x[0]) + block.theta.bias
    phi = torch.einsum("dc,cthw->thwd", block.phi.weight, keys[0]) + block.phi.bias
    return block.scale * torch.einsum("thwd,TYXd->thwTYX", theta, phi)


def test_a_query_row_equals_a_direct_softmax_over_all_positions():
    model, view = non_local(sub_sample="none"), make_view()
    (found,) = attention_maps(model, view, queries=[QUERY])
    assert found.query == (0, 3, 2)
    row = direct_softmax(model, view, pooled=False)[0, 3, 2]
    expected = row.flatten().softmax(0).view_as(row)
    np.testing.assert_allclose(found.weights, expected.numpy(), rtol=1e-4, atol=1e-7)
    assert found.weights.sum() == pytest.approx(1, abs=1e-5)
    assert found.weights.max() > 3 * found.uniform
    assert found.uniform == pytest.approx(1 / (3 * 4 * 4))


def test_pooled_keys_share_their_weight_among_their_four_cells_and_no_others():
    model, view = non_local(sub_sample="before"), make_view(size=80)
    (found,) = attention_maps(model, view, queries=[QUERY])
    assert found.weights.shape == (3, 5, 5)
    row = direct_softmax(model, view, pooled=True)[found.query]
    expected = row.flatten().softmax(0).view_as(row).numpy()
    cells = found.weights[:, :4, :4].reshape(3, 2, 2, 2, 2)
    np.testing.assert_allclose(cells.sum((2, 4)), expected, rtol=1e-4, atol=1e-7)
    assert (cells == cells[:, :, :1, :, :1]).all()
    assert not found.weights[:, 4].any()
    assert not found.weights[:, :, 4].any()
    assert found.weights.sum() == pytest.approx(1, abs=1e-5)
    assert found.uniform == pytest.approx(1 / (3 * 4 * 4))


def test_over_space_a_query_sees_its_own_frame_alone():
    model, view = non_local(axes="hw", sub_sample="none"), make_view()
    (found,) = attention_maps(model, view, queries=[(0.5, 0.9, 0.5)])
    t, y, x = found.query
    assert t == 1
    row = direct_softmax(model, view, pooled=False)[t, y, x, t]
    expected = row.flatten().softmax(0).view_as(row)
    np.testing.assert_allclose(found.weights[t], expected.numpy(), rtol=1e-4, atol=1e-7)
    assert not found.weights[[0, 2]].any()
    assert found.uniform == pytest.approx(1 / 16)


def test_over_time_a_query_sees_its_own_place_alone():
    model, view = non_local(axes="t", sub_sample="none"), make_view()
    (found,) = attention_maps(model, view, queries=[(0.5, 0.9, 0.1)])
    t, y, x = found.query
    assert (y, x) == (3, 0)
    expected = direct_softmax(model, view, pooled=False)[t, y, x, :, y, x].softmax(0)
    np.testing.assert_allclose(found.weights[:, y, x], expected.numpy(), rtol=1e-4, atol=1e-7)
    assert np.count_nonzero(found.weights) == 3
    assert found.uniform == pytest.approx(1 / 3)


@pytest.mark.parametrize("kind", ["dot_product", "concatenation"])
def test_weights_that_do_not_sum_to_one_are_kept_as_they_are(kind):
    model, view = non_local(kind=kind, sub_sample="none"), make_view()
    maps = attention_maps(model, view, queries=DEFAULT_QUERIES)
    block, x = block_and_input(model, view)
    with torch.no_grad():
        whole = block.attention(x)[0].view(3, 4, 4, 3, 4, 4).numpy()
    for found in maps:
        np.testing.assert_allclose(found.weights, whole[found.query], rtol=1e-4, atol=1e-6)
        assert found.uniform is None
    assert {found.is_signed for found in maps} == {kind == "dot_product"}
    assert (min(found.weights.min() for found in maps) < 0) == (kind == "dot_product")


def test_a_context_block_has_one_map_which_sums_to_one():
    model, view = context(), make_view()
    (found,) = attention_maps(model, view)
    block, x = block_and_input(model, view)
    logits = torch.einsum("c,cthw->thw", block.mask.weight[0], x[0]).detach()
    expected = logits.flatten().softmax(0).view_as(logits)
    np.testing.assert_allclose(found.weights, expected.numpy(), rtol=1e-4, atol=1e-7)
    assert found.query is None
    assert (found.kind, found.uniform) == ("att", pytest.approx(1 / 48))


@pytest.mark.parametrize(("axes", "dims"), [("hw", (1, 2)), ("t", (0,))])
def test_a_context_block_over_space_or_time_gives_every_frame_or_place_the_same(axes, dims):
    (found,) = attention_maps(context(axes=axes), make_view())
    sums = found.weights.sum(dims)
    np.testing.assert_allclose(sums, np.full(sums.shape, 1 / sums.size), rtol=1e-5)
    assert found.weights.max() > 1.5 * found.uniform


def test_average_pooling_is_uniform():
    (found,) = attention_maps(context(pooling="avg"), make_view())
    np.testing.assert_allclose(found.weights, np.full((3, 4, 4), found.uniform), rtol=1e-6)


def test_the_last_block_of_res4_is_shown_or_else_the_last_of_the_net():
    queries = [QUERY]
    everywhere = make_model(NonLocalBlock, res3=[1, 3], res4=[1, 5], res5=[0])
    early = make_model(NonLocalBlock, res2=[0], res3=[3, 1])
    assert [m.layer for m in attention_maps(everywhere, make_view(), queries=queries)] == ["res4.5"]
    assert [m.layer for m in attention_maps(early, make_view(), queries=queries)] == ["res3.3"]
    layers = ["res5.0", "res3.1"]
    chosen = attention_maps(everywhere, make_view(), queries=queries, layers=layers)
    assert [m.layer for m in chosen] == layers
    assert [m.weights.shape for m in chosen] == [(3, 2, 2), (3, 8, 8)]


def test_a_query_lies_in_the_cell_that_covers_it():
    assert query_cell((0, 0, 0), (4, 7, 7)) == (0, 0, 0)
    assert query_cell((1, 1, 1), (4, 7, 7)) == (3, 6, 6)
    assert query_cell((0.25, 0.5, 0.99), (4, 7, 7)) == (1, 3, 6)


def test_the_default_queries_differ_on_the_smallest_useful_grid():
    assert len({query_cell(query, (2, 2, 2)) for query in DEFAULT_QUERIES}) == 6


def test_shares_of_frames_sum_to_one_and_count_weights_by_size():
    weights = np.array([[[1.0, -2.0]], [[0.0, 1.0]]], np.float32)
    np.testing.assert_allclose(temporal_shares(weights), [0.75, 0.25])
    assert not temporal_shares(0 * weights).any()


@pytest.mark.parametrize(
    ("block", "arguments", "message"),
    [
        (None, {}, "the net contains no context block, so it has no attention maps"),
        (
            NonLocalBlock,
            {"layers": ["res3.0"]},
            r"no block at 'res3\.0'; the net has some at res4\.5",
        ),
        (
            NonLocalBlock,
            {"queries": [(0.5, 1.5, 0)]},
            r"the query \[0\.5, 1\.5, 0\] is not a position; give \[t, y, x\] as fractions",
        ),
        (NonLocalBlock, {"queries": [(0.5, 0.5)]}, r"the query \[0\.5, 0\.5\] is not a position"),
        (
            CrissCrossBlock,
            {},
            r"the block of res4\.5 is a CrissCrossBlock, which does not have one weight",
        ),
    ],
)
def test_what_has_no_map_is_refused(block, arguments, message):
    model = make_model(block, res4=[5])
    with pytest.raises(ValueError, match=message):
        attention_maps(model, make_view(32), **arguments)


def test_a_net_in_training_is_refused_and_keeps_its_statistics():
    model = non_local().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"the net is in training mode.*call model\.eval\(\)"):
        attention_maps(model, make_view())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
