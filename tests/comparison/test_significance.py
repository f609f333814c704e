import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcvideo.comparison._paired_difference import (
    PairedDifference,
    holm_adjusted,
    mcnemar_p_value,
    sign_flip_p_value,
)
from gcvideo.comparison._power import detectable_difference

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


def grouped_answers(random, num_groups):
    """Answers on groups of 1 to 12 videos that mostly agree within a group."""
    sizes = random.integers(1, 13, num_groups)
    groups = np.repeat(np.arange(num_groups), sizes)
    leaning = random.normal(0, 0.35, num_groups)[groups]
    draw = random.random(len(groups))
    answers = (draw < 0.2 + leaning / 2).astype(int) - (draw > 0.8 + leaning / 2)
    names = {str(video): str(group) for video, group in enumerate(groups)}
    return PairedDifference({0: dict(zip(names, answers.tolist(), strict=True))}, names)


def test_the_interval_of_single_videos_is_that_of_a_mean():
    answers = [1, 0, 0, -1, 1, 1, 0, 0, 1, -1]
    difference = PairedDifference({5: {str(n): answer for n, answer in enumerate(answers)}})
    error = np.std(answers, ddof=1) / math.sqrt(len(answers))
    assert difference.standard_error == pytest.approx(error)
    # Student's t with nine degrees of freedom is 2.262.
    assert difference.interval == pytest.approx(
        (0.2 - 2.262 * error, 0.2 + 2.262 * error), abs=1e-3
    )


def test_seeds_that_agree_do_not_narrow_the_interval():
    row = {str(n): answer for n, answer in enumerate([1, 0, -1, 1, 1, 0])}
    once, thrice = PairedDifference({0: row}), PairedDifference(dict.fromkeys(range(3), row))
    assert thrice.interval == pytest.approx(once.interval)


def test_a_single_group_has_no_interval():
    difference = PairedDifference({0: {"a": 1, "b": 0}}, {"a": "x", "b": "x"})
    assert all(math.isnan(end) for end in difference.interval)


@pytest.mark.slow
def test_intervals_and_tests_by_group_keep_their_promise_where_those_by_video_do_not():
    """Without any difference, groups of clips that agree: 95 % of intervals hold 0, 5 % of tests err."""
    random = np.random.default_rng(0)
    found = Counter()
    for _ in range(600):
        difference = grouped_answers(random, 60)
        alone = PairedDifference(difference.answers)
        for name, one in (("grouped", difference), ("alone", alone)):
            low, high = one.interval
            found[f"{name} misses"] += not low <= 0 <= high
            found[f"{name} errs"] += one.clustered < 0.05
    assert found["grouped misses"] <= 0.08 * 600 < 0.2 * 600 < found["alone misses"]
    assert found["grouped errs"] <= 0.07 * 600 < 0.2 * 600 < found["alone errs"]


@pytest.mark.parametrize(("size", "correlation"), [(1, 0.0), (5, 0.0), (5, 0.3)])
def test_the_detectable_difference_is_found_four_times_out_of_five(size, correlation):
    random, num_groups, p = np.random.default_rng(1), 600 // size, 0.3
    shift = detectable_difference([size] * num_groups, p, correlation)
    num_found = 0
    for _ in range(400):
        # With probability r a video answers as its whole group does.
        draws = random.random((num_groups, size))
        own = random.random((num_groups, size)) >= math.sqrt(correlation)
        draws = np.where(own, draws, draws[:, :1])
        answers = (draws < (p + shift) / 2).astype(int) - (draws > 1 - (p - shift) / 2)
        num_found += sign_flip_p_value(answers.sum(1).tolist()) < 0.05
    assert 0.74 * 400 <= num_found <= 0.86 * 400


def test_the_detectable_difference_of_large_tests_is_that_of_textbooks():
    # 2.80 standard errors of sqrt(0.2 / 100000).
    assert detectable_difference([1] * 100_000, 0.2) == pytest.approx(
        2.8016 * math.sqrt(2e-6), rel=1e-3
    )
    # Ten answers of a group that always agree are one.
    assert detectable_difference([10] * 1000, 0.2, 0.999999) == pytest.approx(
        detectable_difference([1] * 1000, 0.2), rel=1e-4
    )


@pytest.mark.parametrize("wrong", [{"discordance": 0.0}, {"correlation": 1.0}, {"power": 1.0}])
def test_what_no_test_has_is_refused(wrong):
    with pytest.raises(ValueError, match="each lies between 0 and 1"):
        detectable_difference([1, 1], **({"discordance": 0.2} | wrong))
    with pytest.raises(ValueError, match="there are no test videos"):
        detectable_difference([], 0.2)
