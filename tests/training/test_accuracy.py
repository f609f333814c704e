import math

import pytest
import torch
import torch.nn.functional as F

from gcvideo.comparison._results import CellResult, VariantResult
from gcvideo.evaluation._accuracy import wrong_where_not_finite
from gcvideo.training import accuracy_metrics


def measured(predicted, labels, num_classes):
    scores = F.one_hot(torch.tensor(predicted), num_classes).float()
    values = accuracy_metrics(num_classes, "test/")(scores, torch.tensor(labels))
    return {name: float(value) for name, value in values.items()}


def compared(predicted, labels, num_classes):
    scores = F.one_hot(torch.tensor(predicted), num_classes).float()
    videos = tuple(map(str, range(len(labels))))
    cell = CellResult(0, videos, torch.tensor(labels), scores, (), {})
    return VariantResult("x", {}, (), 1, 1, None, None, None, (cell,)).mean_class_accuracy().mean


LABELS = [0] * 4 + [1] * 4 + [2] * 4


@pytest.mark.parametrize("last", [[0, 1, 0, 1], [0, 1, 0, 3], [4, 3, 4, 3]])
def test_a_class_without_videos_has_no_part_in_the_mean_however_often_it_is_predicted(last):
    predicted = [0] * 4 + [1, 1, 0, 0] + last
    by_hand = (4 / 4 + 2 / 4 + 0 / 4) / 3
    found = measured(predicted, LABELS, 5)["test/mean_class_accuracy"]
    assert found == pytest.approx(by_hand)
    assert compared(predicted, LABELS, 5) == pytest.approx(by_hand)


def test_parts_that_ranks_have_counted_make_the_mean_of_the_whole():
    scores, labels = torch.rand(30, 6), torch.randint(0, 4, (30,))
    whole = accuracy_metrics(6, "val/")
    expected = {name: float(value) for name, value in whole(scores, labels).items()}
    ranks = accuracy_metrics(6, "val/"), accuracy_metrics(6, "val/")
    for rank, part in zip(ranks, (slice(0, 4), slice(4, None)), strict=True):
        for row in range(30)[part]:
            rank.update(scores[row : row + 1], labels[row : row + 1])
    for name, metric in ranks[0].items(keep_base=True):
        metric.merge_state(ranks[1][name])
        assert float(metric.compute()) == pytest.approx(expected[f"val/{name}"])
    apart = [float(rank["mean_class_accuracy"].compute()) for rank in ranks]
    assert sum(apart) / 2 != pytest.approx(expected["val/mean_class_accuracy"])


@pytest.mark.parametrize("num_classes", [2, 5, 6, 400])
def test_top5_exists_from_six_classes_on(num_classes):
    names = {"test/top1", "test/mean_class_accuracy"} | (
        {"test/top5"} if num_classes > 5 else set()
    )
    assert measured([0, 1], [0, 0], num_classes).keys() == names


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_video_without_finite_scores_is_wrong_whatever_its_class(value):
    labels = torch.arange(7)
    scores = torch.eye(7)
    scores[[0, 3], 5] = value
    seen = wrong_where_not_finite(scores, labels)
    metrics = accuracy_metrics(7, "")
    found = metrics(seen, labels)
    assert float(found["top1"]) == pytest.approx(5 / 7)
    assert float(found["top5"]) == pytest.approx(5 / 7)
    assert float(found["mean_class_accuracy"]) == pytest.approx(5 / 7)
    kept = [1, 2, 4, 5, 6]
    assert torch.equal(seen[kept], scores[kept])
