import pytest
import torch
from level_net import batches, classifier

from gcvideo.comparison._probe import class_time_needs, score_under_probes, time_need
from gcvideo.evaluation import VideoScores


def table(labels, predictions):
    scores = VideoScores()
    rows = torch.nn.functional.one_hot(torch.tensor(predictions), 3).float()
    scores.add(torch.arange(len(labels)), torch.tensor(labels), rows)
    return scores


def rising_bright_or_neither(levels):
    rising = (levels.diff(dim=1) > 0).all(1)
    bright = levels.mean(1) > 0.5
    labels = torch.where(rising, 0, torch.where(bright, 1, 2))
    return torch.nn.functional.one_hot(labels, 3).float()


def test_a_class_that_is_told_by_its_order_needs_time_and_others_do_not():
    data = batches(
        [[10, 20, 30, 40], [5, 50, 99, 100], [200, 180, 190, 180], [3, 0, 3, 0], [9, 9, 9, 9]],
        [0, 0, 1, 2, 2],
    )
    model = classifier(rising_bright_or_neither, num_classes=3)
    scores = score_under_probes(model, data, average="prob", seed=0)
    needs = class_time_needs(scores, ["rising", "bright", "neither"])
    assert {name: need.needs_time for name, need in needs.items()} == {
        "rising": 1,
        "bright": 0,
        "neither": 0,
    }
    assert needs["rising"].top1 == {"ordered": 1, "shuffled": 0, "reversed": 0, "frozen": 0}
    overall = time_need(scores)
    assert overall.num_videos == 5
    assert overall.top1 == {"ordered": 1, "shuffled": 0.6, "reversed": 0.6, "frozen": 0.6}
    assert overall.needs_time == pytest.approx(0.4)


def test_the_better_of_shuffled_and_frozen_counts_and_reversed_does_not():
    labels = [0, 0, 0, 0, 2]
    scores = {
        "ordered": table(labels, [0, 0, 0, 1, 2]),  # 3/4 and 1
        "shuffled": table(labels, [0, 1, 1, 1, 2]),  # 1/4 and 1
        "frozen": table(labels, [0, 1, 0, 1, 0]),  # 2/4 and 0
        "reversed": table(labels, [0, 0, 0, 0, 2]),
    }
    needs = class_time_needs(scores, ["a", "without videos", "b"])
    assert {name: need.needs_time for name, need in needs.items()} == {"a": 0.25, "b": 0}
    assert [need.num_videos for need in needs.values()] == [4, 1]
    assert needs["a"].top1["reversed"] == 1
    # 4/5 in order, 2/5 shuffled, 2/5 frozen.
    assert time_need(scores).needs_time == pytest.approx(0.4)


def test_without_videos_there_is_no_need():
    empty = {kind: VideoScores() for kind in ("ordered", "shuffled", "frozen")}
    with pytest.raises(ValueError, match=r"no scores; probe at least one video"):
        class_time_needs(empty, ["a"])
