import numpy as np
import pytest

from gcvideo.command._class_report import (
    baselines,
    describe_baselines,
    describe_classes,
    describe_source,
)
from gcvideo.data import Annotations


def annotations(*counts):
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    paths = [f"{i}.mp4" for i in range(len(labels))]
    return Annotations(paths, labels, tuple(f"c{i}" for i in range(len(counts))), "list.txt")


def test_chance_and_majority_are_what_guessing_and_one_name_give():
    listed = annotations(1, 3, 0, 0)
    found = baselines(listed.labels, listed.classes)
    assert found == {"chance_top1": 0.25, "majority_top1": 0.75, "majority_class": "c1"}
    always = np.full(len(listed), listed.classes.index("c1"))
    assert found["majority_top1"] == pytest.approx((always == listed.labels).mean())
    assert describe_baselines(found).split() == [
        *("chance", "0.2500", "majority", "class", "0.7500", "(always", "'c1')")
    ]


def test_few_classes_are_listed_with_their_numbers():
    assert describe_classes(annotations(3, 1)) == "c0 3, c1 1"


def test_of_many_classes_the_smallest_and_the_largest_are_named():
    text = describe_classes(annotations(*range(1, 102)))
    assert text == (
        "101 of 1 to 101 videos, median 51; smallest c0 1, c1 2, c2 3; largest c100 101, c99 100, c98 99"
    )


def test_classes_without_a_video_are_named():
    text = describe_classes(annotations(2, 0, 1, 0)).splitlines()
    assert text[1] == "warning: 2 classes have no video for training: c1, c3"


def test_a_source_is_described_by_what_it_has():
    assert (
        describe_source(annotations(2, 0, 1)) == "3 videos of 2 of the 3 classes, from 'list.txt'"
    )
