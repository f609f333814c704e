import itertools
import math

import numpy as np
import pytest
import torch
from pair_measure import cosine, jensen_shannon

from gcvideo.attention import _pair_distance as pair_distance
from gcvideo.attention._pair_distance import QueryVectors, mean_cosine_distance, mean_jensen_shannon

T, S, K = 3, 4, 5


def vectors_of(tensor, num_frames=T, num_places=S):
    """Vectors (p, k) or (n, p, k) as they are read from a map."""
    maps = tensor if tensor.ndim == 3 else tensor[None]
    return QueryVectors(lambda queries: maps[:, queries], num_frames, num_places)


def random_vectors(*shape):
    return torch.randn(*shape, T * S, K, dtype=torch.float64)


def distributions(*shape):
    return (2 * random_vectors(*shape)).softmax(-1)


def divergence(tensor, *grid, num_pairs=8, seed=0, **options):
    rng = np.random.default_rng(seed)
    return mean_jensen_shannon(vectors_of(tensor, *grid), num_pairs=num_pairs, rng=rng, **options)


def looped(vectors, distance, num_places=S):
    """All, spatial and temporal means over the pairs that have a distance, one pair after the other."""
    sums, counts = np.zeros(3), np.zeros(3)
    for i, j in itertools.product(range(len(vectors)), repeat=2):
        value = distance(vectors[i].tolist(), vectors[j].tolist())
        same_frame, same_place = (
            i // num_places == j // num_places,
            i % num_places == j % num_places,
        )
        groups = (True, same_frame and i != j, same_place and i != j)
        for group, belongs in enumerate(groups):
            if belongs and value is not None:
                sums[group] += value
                counts[group] += 1
    return (sums / counts).tolist()


def test_cosine_distances_equal_those_of_a_loop_over_pairs():
    v = random_vectors()
    found = mean_cosine_distance(vectors_of(v))
    assert found.means == pytest.approx(looped(v, cosine), abs=1e-12)
    assert found.zero_share == 0


def test_divergences_equal_those_of_a_loop_over_pairs():
    v = distributions()
    v[2] = torch.tensor([0.5, 0, 0.5, 0, 0])
    found = divergence(v)
    assert found.means == pytest.approx(looped(v, jensen_shannon), abs=1e-12)
    assert found.is_exact
    assert found.standard_errors == (0, 0, 0)


@pytest.mark.parametrize("chunk", [1, 17, 100])
def test_means_do_not_depend_on_how_much_is_read_at_once(monkeypatch, chunk):
    v, d = random_vectors(2), distributions(2)
    cosines, exact, drawn = (
        mean_cosine_distance(vectors_of(v)),
        divergence(d),
        divergence(d, max_exact=0),
    )
    monkeypatch.setattr(pair_distance, "_CHUNK", chunk)
    assert mean_cosine_distance(vectors_of(v)).means == pytest.approx(cosines.means)
    assert divergence(d).means == pytest.approx(exact.means)
    assert divergence(d, max_exact=0).means == pytest.approx(drawn.means)


def test_equal_vectors_have_no_distance():
    row = distributions()[:1].expand(T * S, K)
    assert mean_cosine_distance(vectors_of(row)).means == pytest.approx([0, 0, 0], abs=1e-15)
    assert divergence(row).means == pytest.approx([0, 0, 0], abs=1e-15)
    assert divergence(row, max_exact=0).means == pytest.approx([0, 0, 0], abs=1e-15)


def test_orthogonal_vectors_are_half_and_opposite_ones_wholly_apart():
    p = T * S
    found = mean_cosine_distance(vectors_of(3 * torch.eye(p, dtype=torch.float64)))
    assert found.means == pytest.approx([(p - 1) / p / 2, 1 / 2, 1 / 2])
    signs = torch.tensor([1.0, -1.0]).repeat_interleave(3)[:, None] * torch.ones(1, K)
    found = mean_cosine_distance(vectors_of(signs, 2, 3))
    assert found.means == pytest.approx([1 / 2, 0, 1])


def test_pairs_that_do_not_exist_are_nan():
    for grid, defined in (((1, T * S), "spatial"), ((T * S, 1), "temporal")):
        for found in (
            mean_cosine_distance(vectors_of(random_vectors(), *grid)),
            divergence(distributions(), *grid),
            divergence(distributions(), *grid, max_exact=0),
        ):
            means = found.means._asdict()
            assert {name for name, mean in means.items() if not math.isnan(mean)} == {
                "all",
                defined,
            }


def test_pairs_with_a_zero_vector_are_left_out_and_counted():
    v = random_vectors()
    v[[0, 5]] = 0
    found = mean_cosine_distance(vectors_of(v))
    assert found.means == pytest.approx(looped(v, cosine))
    assert found.zero_share == pytest.approx(2 / 12)


def test_zero_vectors_alone_are_nan_and_never_zero():
    found = mean_cosine_distance(vectors_of(torch.zeros(T * S, K)))
    assert all(map(math.isnan, found.means))
    assert found.zero_share == 1


def test_vectors_close_together_keep_their_digits():
    v = torch.ones(2, 2, dtype=torch.float64)
    v[1, 1] = 1 + 1e-5
    angle = math.atan(1 + 1e-5) - math.pi / 4
    found = mean_cosine_distance(vectors_of(v, 1, 2)).means.spatial
    assert found == pytest.approx(math.sin(angle / 2) ** 2, rel=1e-4)


def test_drawn_pairs_give_the_mean_within_their_standard_error():
    d = distributions()
    exact = divergence(d).means
    deviations = []
    for seed in range(40):
        found = divergence(d, num_pairs=60, seed=seed, max_exact=0)
        assert not found.is_exact
        deviations.append((np.array(found.means) - exact) / found.standard_errors)
    # Of 40 normal numbers: the mean within 4 / sqrt(40), the deviation within 4 / sqrt(80) of one.
    assert np.abs(np.mean(deviations, 0)).max() < 4 / math.sqrt(40)
    assert np.abs(np.std(deviations, 0) - 1).max() < 4 / math.sqrt(80)


def test_pairs_are_drawn_by_the_seed_alone():
    d = distributions()
    first, again, other = (divergence(d, seed=seed, max_exact=0).means for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_pairs_are_all_taken_up_to_the_limit():
    work = (T * S) ** 2 * K
    assert divergence(distributions(), max_exact=work).is_exact
    assert not divergence(distributions(), max_exact=work - 1).is_exact


def test_drawn_pairs_are_of_the_kind_that_they_stand_for():
    everything, spatial, temporal = pair_distance._draw_pairs(
        vectors_of(random_vectors()), 6000, np.random.default_rng(0)
    )
    (t, s), (u, r) = (np.divmod(queries, S) for queries in everything)
    assert {*zip(t.flat, u.flat, s.flat, r.flat, strict=True)} == {
        *itertools.product(range(T), range(T), range(S), range(S))
    }
    assert (np.ptp(t, axis=1) == 0).all()  # a row is a stratum
    assert (np.ptp(u, axis=1) == 0).all()
    (t, s), (u, r) = (np.divmod(queries, S) for queries in spatial)
    assert (t == u).all()
    assert {*zip(t.flat, s.flat, r.flat, strict=True)} == {
        (t, *pair) for t in range(T) for pair in itertools.permutations(range(S), 2)
    }
    (t, s), (u, r) = (np.divmod(queries, S) for queries in temporal)
    assert (s == r).all()
    assert {*zip(t.flat, u.flat, s.flat, strict=True)} == {
        (*pair, s) for pair in itertools.combinations(range(T), 2) for s in range(S)
    }


def test_a_number_of_pairs_below_one_is_refused():
    with pytest.raises(ValueError, match=r"num_pairs is 0; draw at least 1 pair of queries"):
        divergence(distributions(), num_pairs=0)
