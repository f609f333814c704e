import torch

from gcvideo.comparison._outcome import describe_baseline, describe_difference, describe_test
from gcvideo.comparison._results import CellResult, Comparison, VariantResult

VIDEOS = tuple(f"{index}.mp4" for index in range(100))
LABELS = torch.tensor([0] * 60 + [1] * 40)


def variant(name, *right_by_seed):
    """Seed i has the videos right that ``right_by_seed[i]`` lists."""
    cells = []
    for seed, right in enumerate(right_by_seed):
        predicted = 1 - LABELS
        predicted[list(right)] = LABELS[list(right)]
        scores = torch.nn.functional.one_hot(predicted, 2).float()
        cells.append(CellResult(seed, VIDEOS, LABELS, scores, (), {}))
    return VariantResult(name, {}, (), 1, 1, None, None, None, tuple(cells))


def described(other, *baseline):
    return describe_difference(
        Comparison("x", ("a", "b"), "none", (variant("none", *baseline), other), {}), other.name
    )


def test_a_clear_difference_is_told_with_p_value_and_spread():
    better = variant("gc", range(62), range(64), range(66))
    text = "gc is 14.0 points above none (p < 0.001); the spread over 3 seeds is 2.0 points."
    assert described(better, *[range(50)] * 3) == text
    worse = variant("gc", range(40), range(40))
    text = "gc is 10.0 points below none (p = 0.00195); the spread over 2 seeds is 0.0 points."
    assert described(worse, range(50), range(50)) == text


def test_a_difference_that_chance_explains_is_not_told():
    better = variant("gc", range(52), range(51))
    assert described(better, range(50), range(50)) == (
        "No difference can be told between gc and none: +1.5 points, p = 0.5; the spread over 2 seeds "
        "is 0.7 points."
    )


def test_the_same_answers_differ_by_exactly_nothing():
    assert described(variant("gc", range(50)), range(50)) == (
        "gc is right on exactly the same videos as none, with 1 seed: the difference is exactly 0."
    )


def test_one_seed_says_nothing_on_other_seeds():
    assert described(variant("gc", range(60)), range(50)) == (
        "gc is 10.0 points above none (p = 0.00195); with one seed, the effect of another seed is not "
        "known."
    )


def test_seeds_that_do_not_agree_are_named():
    text = described(variant("gc", range(80), range(48)), range(50), range(50))
    assert text.startswith(
        "gc is 14.0 points above none (p < 0.001); the spread over 2 seeds is 22.6"
    )
    assert text.endswith(
        "The seeds do not agree (+30.0, -2.0), so other seeds may well reverse this."
    )


def test_a_variant_without_a_shared_seed_is_named_too():
    assert described(variant("gc"), range(50)) == (
        "gc: no seed is finished both here and in none, so nothing can be said."
    )


def test_the_baseline_is_held_against_knowing_nothing():
    comparison = Comparison("x", ("a", "b"), "none", (variant("none", range(70), range(72)),), {})
    assert describe_baseline(comparison) == (
        "The baseline none has a top-1 accuracy of 71.0 ± 1.4 % over 2 seeds on 100 test videos of 2 "
        "classes; always naming the most frequent class would give 60.0 %."
    )
    empty = Comparison("x", ("a", "b"), "none", (variant("none"),), {})
    assert "none has no finished cell yet" in describe_baseline(empty)


def test_the_number_of_comparisons_is_told():
    variants = [variant(name, range(50)) for name in ("none", "a", "b")]
    several = Comparison("x", ("a", "b"), "none", (*variants, variant("unfinished")), {})
    assert "adjusted by Holm for 2 comparisons with the baseline none" in describe_test(several)
    one = Comparison("x", ("a", "b"), "none", tuple(variants[:2]), {})
    assert "for 1 comparison with" in describe_test(one)
