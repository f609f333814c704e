import functools
import importlib
import itertools
import math

import pytest
import torch
from pair_measure import cosine, jensen_shannon
from torch import nn

from gcvideo.attention import _pair_distance as pair_distance
from gcvideo.attention._pair_distance import CosineDistance, Divergence, PairMeans
from gcvideo.attention._query_independence import (
    QueryIndependence,
    average_query_independence,
    query_independence,
)
from gcvideo.nn import NonLocalBlock

KINDS = ["gaussian", "embedded_gaussian", "dot_product", "concatenation"]
kinds = pytest.mark.parametrize("kind", KINDS)


def make_block(kind, **options):
    block = NonLocalBlock(4, kind=kind, **options)
    for name, tensor in block.state_dict().items():
        if tensor.is_floating_point():
            tensor.normal_(std=0.7)
            if name.endswith("running_var"):
                tensor.abs_()
    return block.double().eval()


def looped(vectors, positions, distance):
    """Means over all, spatial and temporal pairs; ``vectors`` by (map, position)."""
    groups = [[], [], []]
    for number in {number for number, _ in vectors}:
        for i, j in itertools.product(positions, repeat=2):
            if (number, i) not in vectors or (number, j) not in vectors:
                continue
            value = distance(vectors[number, i], vectors[number, j])
            (t, *place), (other_t, *other_place) = i, j
            belongs = True, t == other_t and i != j, place == other_place and i != j
            for group, is_member in zip(groups, belongs, strict=True):
                if is_member and value is not None:
                    group.append(value)
    return [sum(group) / len(group) if group else math.nan for group in groups]


def expected_of(block, x):
    """The four rows of means by loops over the videos, maps and pairs of queries."""
    grid = [range(size) for size in x.shape[2:]]
    positions = list(itertools.product(*grid))
    update, attention = block(x) - x, block.attention(x)
    members = {
        "thw": lambda b, t, y, x: (b, (t, y, x)),
        "hw": lambda b, t, y, x: (b * len(grid[0]) + t, (y, x)),
        "t": lambda b, t, y, x: ((b * len(grid[1]) + y) * len(grid[2]) + x, (t,)),
    }[block.axes]
    features = {"input": {}, "output": {}, "attention": {}}
    for b, position in itertools.product(range(len(x)), positions):
        number, inner = members(b, *position)
        query = 0
        sizes = {"thw": x.shape[2:], "hw": x.shape[3:], "t": x.shape[2:3]}[block.axes]
        for coordinate, size in zip(inner, sizes, strict=True):
            query = query * size + coordinate
        features["input"][number, position] = x[(b, slice(None), *position)].tolist()
        features["output"][number, position] = update[(b, slice(None), *position)].tolist()
        features["attention"][number, position] = attention[number, query].tolist()
    means = {name: looped(vectors, positions, cosine) for name, vectors in features.items()}
    if block.kind in ("gaussian", "embedded_gaussian"):
        means["divergence"] = looped(features["attention"], positions, jensen_shannon)
    return means


def means_of(found):
    values = {name: getattr(found, name) for name in ("input", "output", "attention", "divergence")}
    return {name: list(value.means) for name, value in values.items() if value is not None}


@torch.no_grad()
@kinds
@pytest.mark.parametrize(
    ("grid", "axes", "sub_sample"),
    [
        ((2, 2, 3), "thw", "none"),
        ((3, 2, 2), "thw", "before"),
        ((2, 2, 2), "thw", "after"),
        ((1, 2, 3), "thw", "none"),
        ((3, 2, 2), "hw", "none"),
        ((3, 1, 2), "t", "none"),
    ],
    ids=str,
)
def test_distances_equal_those_of_a_loop_over_pairs(kind, grid, axes, sub_sample):
    block = make_block(kind, axes=axes, sub_sample=sub_sample, inner_channels=3)
    x = torch.randn(2, 4, *grid, dtype=torch.float64)
    found, expected = means_of(query_independence(block, x)), expected_of(block, x)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, abs=1e-12, nan_ok=True), name


@kinds
def test_distances_of_float32_are_those_of_float64(kind):
    block, x = make_block(kind), torch.randn(1, 4, 2, 4, 4, dtype=torch.float64)
    expected = means_of(query_independence(block, x))
    found = means_of(query_independence(block.float(), x.float()))
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-3, abs=1e-6), name


@pytest.mark.parametrize("kind", ["embedded_gaussian", "dot_product"])
def test_a_query_without_weights_leaves_one_map_for_all(kind):
    block = make_block(kind)
    nn.init.zeros_(block.theta.weight)
    found = query_independence(block, torch.randn(1, 4, 2, 4, 4, dtype=torch.float64))
    assert found.input.means.all > 0.1
    assert found.attention.means == pytest.approx([0, 0, 0], abs=1e-12)
    assert found.output.means == pytest.approx([0, 0, 0], abs=1e-12)
    if found.divergence:
        assert found.divergence.means == pytest.approx([0, 0, 0], abs=1e-12)


@kinds
def test_a_fresh_block_has_no_output_to_compare(kind):
    block = NonLocalBlock(4, kind=kind).eval()
    found = query_independence(block, torch.randn(1, 4, 2, 4, 4))
    assert all(map(math.isnan, found.output.means))
    assert found.output.zero_share == 1
    assert found.input.zero_share == 0


def test_dead_rows_of_a_concatenation_map_are_counted():
    block = make_block("concatenation", sub_sample="none")
    x = torch.randn(1, 4, 2, 4, 4, dtype=torch.float64)
    block.phi.bias.data -= 1.5 * block.concat.weight.data[0].chunk(2)[1].sign()
    num_dead = int((block.attention(x).sum(-1) == 0).sum())
    assert 0 < num_dead < 32
    found = query_independence(block, x)
    assert found.attention.zero_share == pytest.approx(num_dead / 32)
    assert found.attention.means == pytest.approx(expected_of(block, x)["attention"])


def test_a_large_map_is_read_in_parts_and_its_pairs_are_drawn(monkeypatch):
    block = make_block("embedded_gaussian", sub_sample="none")
    x = torch.randn(1, 4, 4, 8, 8, dtype=torch.float64)
    whole = query_independence(block, x)
    read = []

    def recorded(theta, phi):
        read.append(theta.shape[1])
        return NonLocalBlock._map(block, theta, phi)

    monkeypatch.setattr(block, "_map", recorded)
    monkeypatch.setattr(pair_distance, "_CHUNK", 256 * 20)
    drawn = functools.partial(pair_distance.mean_jensen_shannon, max_exact=1)
    module = importlib.import_module("gcvideo.attention._query_independence")
    monkeypatch.setattr(module, "mean_jensen_shannon", drawn)
    found = query_independence(block, x, num_pairs=500, seed=3)
    assert max(read) <= 20
    assert found.attention.means == pytest.approx(whole.attention.means)
    assert whole.divergence.is_exact
    assert not found.divergence.is_exact
    for mean, expected, error in zip(
        found.divergence.means,
        whole.divergence.means,
        found.divergence.standard_errors,
        strict=True,
    ):
        assert 0 < abs(mean - expected) < 4 * error
    again = query_independence(block, x, num_pairs=500, seed=3)
    assert again == found
    assert query_independence(block, x, num_pairs=500, seed=[3, 1]) != found


def measured(value, *, error=0.0, has_divergence=True, zero_share=0.0):
    distance = CosineDistance(PairMeans(value, 2 * value, math.nan), zero_share)
    errors = PairMeans(error, error, math.nan)
    divergence = Divergence(PairMeans(value, value, math.nan), errors, is_exact=not error)
    return QueryIndependence(distance, distance, distance, divergence if has_divergence else None)


def test_averages_are_those_of_what_is_defined():
    nothing = CosineDistance(PairMeans(math.nan, math.nan, math.nan), 1.0)
    fresh = QueryIndependence(nothing, nothing, nothing, None)
    found = average_query_independence(
        [measured(0.1, error=0.03), measured(0.3, error=0.04), fresh]
    )
    assert found.input.means == pytest.approx([0.2, 0.4, math.nan], nan_ok=True)
    assert found.output.zero_share == pytest.approx(1 / 3)
    assert found.divergence.means == pytest.approx([0.2, 0.2, math.nan], nan_ok=True)
    expected = [math.hypot(0.03, 0.04) / 2] * 2 + [math.nan]
    assert found.divergence.standard_errors == pytest.approx(expected, nan_ok=True)
    assert not found.divergence.is_exact
    assert average_query_independence([measured(0.1)]).divergence.is_exact
    assert average_query_independence([measured(0.1, has_divergence=False)]).divergence is None


def test_a_block_in_training_mode_is_refused():
    with pytest.raises(ValueError, match=r"the block is in training mode.*call net\.eval\(\)"):
        query_independence(NonLocalBlock(4), torch.randn(1, 4, 2, 4, 4))


@pytest.mark.gpu
@kinds
def test_a_gpu_measures_what_the_processor_does(kind):
    block, x = make_block(kind), torch.randn(2, 4, 2, 4, 4, dtype=torch.float64)
    expected = means_of(query_independence(block, x))
    found = means_of(query_independence(block.cuda(), x.cuda()))
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, abs=1e-12), name
