import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcvideo.comparison._paired_difference import holm_adjusted, mcnemar_p_value, sign_flip_p_value

# Heights of Darwin's crossed less self-fertilised maize, in eighths of an inch.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def enumerated(differences):
    """The share of all flips whose sum is as large as the one seen."""
    flips = list(itertools.product((-1, 1), repeat=len(differences)))
    sums = [sum(e * d for e, d in zip(flip, differences, strict=True)) for flip in flips]
    return sum(abs(total) >= abs(sum(differences)) for total in sums) / len(flips)


@pytest.mark.parametrize(
    ("better", "worse", "p_value"),
    [
        (86, 150, 3.716e-05),  # Agresti's approval ratings, as R's exact2x2 prints it
        (1, 9, 0.021484375),  # 22 / 2^10
        (12, 3, 0.03515625),  # 1152 / 2^15
        (0, 5, 0.0625),
        (0, 1, 1.0),
        (7, 7, 1.0),
        (0, 0, 1.0),
    ],
)
def test_mcnemar_gives_the_known_values(better, worse, p_value):
    assert mcnemar_p_value(better, worse) == pytest.approx(p_value, rel=2e-4)
    assert mcnemar_p_value(worse, better) == mcnemar_p_value(better, worse)


@given(st.integers(0, 7), st.integers(0, 7))
def test_mcnemar_counts_the_ways_in_which_discordant_pairs_can_fall(better, worse):
    assert mcnemar_p_value(better, worse) == enumerated([1] * better + [-1] * worse)


def test_mcnemar_agrees_with_the_normal_curve_for_very_many_pairs():
    better, worse = 10_150, 9_850
    z = (abs(better - worse) - 1) / math.sqrt(better + worse)
    assert mcnemar_p_value(better, worse) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-3)


def test_sign_flips_give_what_fisher_counted_for_darwins_maize():
    # The Design of Experiments, section 21: 863 of 32,768 sums are 314 or more.
    assert sign_flip_p_value(DARWIN) == pytest.approx(2 * 863 / 2**15, rel=1e-12)


@given(st.lists(st.integers(-4, 4), max_size=10))
def test_sign_flips_are_all_counted(differences):
    assert sign_flip_p_value(differences) == pytest.approx(enumerated(differences), rel=1e-12)


@given(st.integers(0, 300), st.integers(0, 300))
def test_sign_flips_of_single_answers_are_mcnemars_test(better, worse):
    differences = [1] * better + [-1] * worse + [0] * 5
    expected = mcnemar_p_value(better, worse)
    assert sign_flip_p_value(differences) == pytest.approx(expected, rel=1e-10)


def test_sign_flips_of_no_difference_give_exactly_one():
    assert sign_flip_p_value([]) == sign_flip_p_value([0, 0, 0]) == 1.0


def test_sign_flips_of_a_large_test_agree_with_the_normal_curve():
    random = np.random.default_rng(0)
    differences = random.integers(-3, 4, 20_000)
    z = (abs(differences.sum()) - 1) / math.sqrt((differences**2).sum())
    expected = math.erfc(z / math.sqrt(2))
    assert sign_flip_p_value(differences.tolist()) == pytest.approx(expected, rel=1e-2)


def test_seeds_that_agree_fool_the_pooled_test_and_not_the_clustered_one():
    """Without any difference, 60 videos, three seeds that always answer alike."""
    random = np.random.default_rng(0)
    found = Counter()
    for _ in range(400):
        differences = random.integers(-1, 2, 60)
        better, worse = (differences > 0).sum(), (differences < 0).sum()
        found["pooled"] += mcnemar_p_value(3 * int(better), 3 * int(worse)) < 0.05
        found["clustered"] += sign_flip_p_value((3 * differences).tolist()) < 0.05
    assert found["clustered"] <= 0.05 * 400 < 0.15 * 400 < found["pooled"]


def test_holm_adjusts_as_in_the_textbook():
    assert holm_adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm_adjusted([0.6, 0.7]) == [1.0, 1.0]
    assert holm_adjusted([0.02]) == [0.02]
    assert holm_adjusted([]) == []
