import numpy as np
import pytest
import torch

from gcvideo.evaluation import (
    ConfusedPair,
    calibration,
    confusion_matrix,
    most_confused_pairs,
    normalized_by_class,
)

LABELS = torch.tensor([0, 0, 0, 1, 1, 3])
# Class 2 is never true, class 3 never answered.
SCORES = torch.tensor(
    [
        [0.7, 0.1, 0.1, 0.1],
        [0.2, 0.5, 0.2, 0.1],
        [0.1, 0.6, 0.2, 0.1],
        [0.1, 0.8, 0.1, 0.0],
        [0.3, 0.2, 0.4, 0.1],
        [0.9, 0.0, 0.1, 0.0],
    ]
)


def test_the_matrix_is_the_one_counted_by_hand():
    counts = confusion_matrix(LABELS, SCORES)
    assert counts.tolist() == [[1, 2, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    shares = normalized_by_class(counts)
    assert shares[0].tolist() == pytest.approx([1 / 3, 2 / 3, 0, 0])
    assert shares[2].isnan().all()


def test_the_most_frequent_mistakes_come_first_and_then_those_of_small_classes():
    counts = confusion_matrix(LABELS, SCORES)
    expected = [
        ConfusedPair(0, 1, 2, 2 / 3),
        ConfusedPair(3, 0, 1, 1.0),
        ConfusedPair(1, 2, 1, 0.5),
    ]
    assert most_confused_pairs(counts, 10) == expected
    assert most_confused_pairs(counts, 1) == expected[:1]
    assert most_confused_pairs(torch.eye(3, dtype=torch.int64), 5) == []


def test_a_single_class_is_always_right():
    labels, scores = torch.zeros(3, dtype=torch.int64), torch.ones(3, 1)
    assert confusion_matrix(labels, scores).tolist() == [[3]]
    assert calibration(labels, scores).error == pytest.approx(0, abs=1e-6)


def plain_error(labels, scores, num_bins):
    """The definition, by loops in numpy."""
    confidence, right = scores.max(1), scores.argmax(1) == labels
    error = 0.0
    for m in range(num_bins):
        low, high = m / num_bins, (m + 1) / num_bins
        inside = (confidence >= low) & ((confidence < high) | (m == num_bins - 1))
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return error


@pytest.mark.parametrize("num_bins", [1, 10, 15])
def test_the_calibration_error_is_that_of_its_definition(num_bins):
    random = torch.Generator().manual_seed(0)
    scores = (4 * torch.randn(200, 6, generator=random)).softmax(1)
    scores[:5] = torch.eye(6)[:5]  # a confidence of exactly 1
    labels = torch.randint(0, 6, (200,), generator=random)
    found = calibration(labels, scores, num_bins)
    expected = plain_error(labels.numpy(), scores.double().numpy(), num_bins)
    assert found.error == pytest.approx(expected, abs=1e-6)
    assert int(found.num_videos.sum()) == 200
    filled = found.num_videos > 0
    gaps = (found.accuracy - found.confidence).abs()[filled] * found.num_videos[filled] / 200
    assert float(gaps.sum()) == pytest.approx(found.error, abs=1e-6)
    assert found.accuracy[~filled].isnan().all()


def test_a_certain_and_right_net_has_no_error_and_a_certain_and_wrong_one_all_of_it():
    scores = torch.eye(3)
    assert calibration(torch.arange(3), scores).error == pytest.approx(0, abs=1e-6)
    assert calibration(torch.tensor([1, 2, 0]), scores).error == pytest.approx(1)


@pytest.mark.parametrize("measure", [confusion_matrix, calibration])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(measure, value):
    scores = SCORES.clone()
    scores[4, 0] = value
    with pytest.raises(
        ValueError, match="1 of 6 videos have scores that are not finite, the first is"
    ):
        measure(LABELS, scores)


def test_a_calibration_needs_probabilities_and_videos():
    with pytest.raises(ValueError, match=r"scores lie between -1 and 2; pass probabilities"):
        calibration(torch.zeros(1, dtype=torch.int64), torch.tensor([[-1.0, 2.0]]))
    with pytest.raises(
        ValueError, match="there are no videos; a calibration error needs at least one"
    ):
        calibration(torch.empty(0, dtype=torch.int64), torch.empty(0, 3))
