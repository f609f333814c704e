import math
import statistics
from dataclasses import replace

import pytest
import torch
from torchmetrics.functional.classification import multiclass_accuracy

from gcvideo.comparison._paired_difference import mcnemar_p_value, sign_flip_p_value
from gcvideo.comparison._results import CellResult, Comparison, VariantResult

CLASSES = tuple("abcdef")


def cell(seed, predictions, labels, *, probes=None, videos=None):
    scores = torch.nn.functional.one_hot(torch.tensor(predictions), 6).float()
    names = videos or tuple(f"{index}.mp4" for index in range(len(labels)))
    return CellResult(seed, names, torch.tensor(labels), scores, (), probes or {})


def random_cell(seed, num_videos=200):
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 6, (num_videos,), generator=random)
    scores = torch.rand(num_videos, 6, generator=random)
    names = tuple(f"{index}.mp4" for index in range(num_videos))
    return CellResult(seed, names, labels, scores, (), {})


def variant(name, *cells):
    return VariantResult(name, {}, (), 1, 1, None, None, None, cells)


def compare(*variants, classes=CLASSES):
    return Comparison("test", classes, "none", variants, {})


LABELS = [0, 0, 1, 1, 2, 3]


def example():
    """Seed 0: two better, one worse. Seed 1: one better. Seed 2: the baseline alone."""
    none = variant(
        "none",
        cell(0, [0, 1, 1, 0, 2, 0], LABELS),
        cell(1, [0, 1, 1, 0, 0, 0], LABELS),
        cell(2, LABELS, LABELS),
    )
    gc = variant(
        "gc", cell(0, [0, 0, 1, 1, 0, 0], LABELS), cell(1, [0, 0, 1, 0, 0, 0], LABELS)
    )  # fmt: skip
    return compare(none, gc)


def test_accuracies_are_those_of_torchmetrics():
    results = random_cell(0)
    for k in (1, 5):
        expected = multiclass_accuracy(results.scores, results.labels, 6, "micro", top_k=k)
        assert results.top_k(k) == pytest.approx(float(expected))
    per_class = multiclass_accuracy(results.scores, results.labels, 6, "none")
    assert results.class_accuracies().tolist() == pytest.approx(per_class.tolist())
    mean = variant("x", results).mean_class_accuracy().mean
    assert mean == pytest.approx(float(per_class.mean()))


def test_of_equal_scores_the_first_class_is_the_answer_as_in_argmax():
    labels = torch.arange(6)
    same = CellResult(0, tuple("uvwxyz"), labels, torch.zeros(6, 6), (), {})
    assert same.ranks.tolist() == [0, 1, 2, 3, 4, 5]
    scores = torch.randint(0, 3, (50, 6)).float()
    labels = torch.randint(0, 6, (50,))
    ties = CellResult(0, tuple(map(str, range(50))), labels, scores, (), {})
    assert torch.equal(ties.ranks == 0, scores.argmax(1) == labels)


def test_a_class_without_videos_has_no_accuracy_and_no_part_in_the_mean():
    results = cell(0, [0, 1, 1, 0, 2, 0], LABELS)
    assert results.class_accuracies()[:4].tolist() == [0.5, 0.5, 1.0, 0.0]
    assert results.class_accuracies()[4:].isnan().all()
    assert variant("x", results).mean_class_accuracy().mean == 0.5


def test_mean_and_spread_are_over_seeds_and_one_seed_has_no_spread():
    cells = [random_cell(seed) for seed in range(3)]
    values = [results.top_k(1) for results in cells]
    top1 = variant("x", *cells).top_k(1)
    assert top1.mean == pytest.approx(statistics.mean(values))
    assert top1.spread == pytest.approx(torch.tensor(values).double().std().item())
    assert variant("x", cells[0]).top_k(1).spread is None
    assert variant("x").top_k(1).mean is None


def test_a_difference_is_paired_by_seed_and_video_on_the_seeds_that_both_have():
    difference = example().differences["gc"]
    assert difference.num_better == {0: 2, 1: 1}
    assert difference.num_worse == {0: 1, 1: 0}
    assert difference.top1.values == pytest.approx({0: 1 / 6, 1: 1 / 6})
    assert difference.top1.spread == 0
    assert difference.mcnemar == {0: mcnemar_p_value(2, 1), 1: mcnemar_p_value(1, 0)}
    assert difference.pooled_mcnemar == mcnemar_p_value(3, 1)
    # Video 1 is better with both seeds, video 3 with one; video 4 is worse with one.
    assert difference.clustered == sign_flip_p_value([2, 1, -1])


def test_gain_of_a_class_is_the_mean_over_the_shared_seeds():
    gains = example().class_gains("gc")
    assert gains[:4].tolist() == [0.5, 0.25, -0.5, 0.0]
    assert gains[4:].isnan().all()


def test_equal_answers_differ_by_exactly_nothing():
    cells = [random_cell(seed) for seed in range(3)]
    comparison = compare(variant("none", *cells), variant("same", *cells))
    difference = comparison.differences["same"]
    assert difference.top1.mean == difference.top1.spread == 0.0
    assert difference.pooled_mcnemar == difference.clustered == 1.0
    assert comparison.adjusted_p_values["same"] == 1.0
    assert set(difference.mcnemar.values()) == {1.0}
    assert comparison.class_gains("same").tolist() == [0.0] * 6


def test_p_values_are_adjusted_for_the_number_of_variants_that_can_be_compared():
    right, wrong = cell(0, LABELS, LABELS), cell(0, [5] * 6, LABELS)
    comparison = compare(
        variant("none", wrong), variant("a", right), variant("b", right), variant("unfinished")
    )
    assert set(comparison.differences) == {"a", "b"}
    assert comparison.differences["a"].clustered == 2 / 2**6
    assert comparison.adjusted_p_values == {"a": 4 / 2**6, "b": 4 / 2**6}
    assert all(math.isnan(gain) for gain in comparison.class_gains("unfinished").tolist())


def test_probes_are_averaged_over_the_seeds_that_have_them():
    first, second = (cell(s, LABELS, LABELS, probes={"shuffled": 0.2 * s}) for s in (1, 2))
    other = cell(3, LABELS, LABELS, probes={"frozen": 0.5})
    comparison = compare(variant("none", first, second, other))
    assert comparison.probes == ("shuffled", "frozen")
    assert comparison.variants[0].probe("shuffled").mean == pytest.approx(0.3)
    assert comparison.variants[0].probe("frozen").values == {3: 0.5}


def test_seeds_and_top_five_are_known_to_the_comparison():
    assert example().seeds == (0, 1, 2)
    assert example().has_top5
    assert not replace(example(), classes=tuple("abcde"), variants=(variant("none"),)).has_top5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"videos": ("a", "b")}, "seed 7 has 2 videos, 3 labels and 3 rows of scores; give one"),
        ({"videos": ("a", "b", "a")}, "seed 7 lists 'a' more than once; score each video once"),
        ({"labels": torch.tensor([0, 1, 6])}, "has the label 6 and scores of 6 classes"),
        ({"labels": torch.tensor([0, -1, 2])}, "has the label -1 and scores of 6 classes"),
        ({"scores": torch.full((3, 6), math.nan)}, "scores of 'a' that are not finite; such a"),
        (
            {"videos": (), "labels": torch.empty(0).long(), "scores": torch.empty(0, 6)},
            "has 0 videos, 0 labels and 0 rows of scores; .* at least one video",
        ),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_results_that_do_not_fit_each_other_are_refused(changes, message):
    good = cell(7, [0, 1, 2], [0, 1, 2], videos=("a", "b", "c"))
    with pytest.raises(ValueError, match=message):
        replace(good, **changes)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (cell(0, [0, 1], [0, 1]), "'gc', seed 0: 2 videos, but 6 in variant 'none'; test all"),
        (
            cell(0, LABELS, LABELS, videos=tuple("uvwxyz")),
            "'gc', seed 0: video 1 is 'u', but '0.mp4' in variant 'none'; test all variants of a seed",
        ),
        (
            cell(0, LABELS, [0, 0, 1, 5, 2, 3]),
            "'gc', seed 0: '3.mp4' has label 5, but 1 in variant 'none'; test all variants",
        ),
    ],
)
def test_cells_of_a_seed_that_were_not_tested_alike_are_refused(other, message):
    with pytest.raises(ValueError, match=message):
        compare(variant("none", cell(0, LABELS, LABELS)), variant("gc", other))


def test_other_seeds_may_have_other_videos():
    videos = tuple("uvwxyz")
    cells = cell(0, LABELS, LABELS), cell(1, LABELS, LABELS, videos=videos)
    wrong = cell(0, [5] * 6, LABELS), cell(1, [5] * 6, LABELS, videos=videos)
    difference = compare(variant("none", *wrong), variant("gc", *cells)).differences["gc"]
    assert difference.clustered == difference.pooled_mcnemar == 2 / 2**12


def test_scores_of_other_classes_are_refused():
    none = variant("none", cell(0, LABELS, LABELS))
    with pytest.raises(ValueError, match="'none', seed 0: scores of 6 classes, but 2 classes"):
        compare(none, classes=("a", "b"))
