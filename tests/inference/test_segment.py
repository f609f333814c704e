import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gcvideo.inference import Prediction, WindowScores, merge_segments

CLASSES = ["run", "jump", "rest"]
RUN, JUMP, REST = [0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.0, 0.4, 0.6]
UNSURE = [0.3, 0.4, 0.3]


def make_windows(starts, ends, scores):
    return WindowScores(
        np.array(starts, float), np.array(ends, float), torch.tensor(scores, dtype=torch.float64)
    )


def test_windows_of_one_class_become_one_segment_with_their_mean_score():
    windows = make_windows([0, 1, 2], [2, 3, 4], [RUN, [0.6, 0.2, 0.2], RUN])
    (segment,) = merge_segments(windows, CLASSES, threshold=0.5)
    assert segment == Prediction(0, "run", segment.score, 0, 4)
    assert segment.score == pytest.approx((0.8 + 0.6 + 0.8) / 3)


def test_windows_of_two_classes_meet_midway_between_their_centres():
    windows = make_windows([0, 1, 2, 3], [2, 3, 4, 5], [RUN, RUN, JUMP, JUMP])
    first, second = merge_segments(windows, CLASSES, threshold=0.5)
    # The centres of the middle two are at 2 and 3 seconds.
    assert (first.start_seconds, first.end_seconds, first.name) == (0, 2.5, "run")
    assert (second.start_seconds, second.end_seconds, second.name) == (2.5, 5, "jump")


def test_windows_of_unequal_length_share_their_overlap():
    windows = make_windows([0, 9], [10, 11], [RUN, REST])
    first, second = merge_segments(windows, CLASSES, threshold=0.5)
    assert (first.end_seconds, second.start_seconds) == (9.5, 9.5)


def test_an_unsure_window_leaves_its_part_empty():
    windows = make_windows([0, 1, 2], [2, 3, 4], [RUN, UNSURE, RUN])
    segments = merge_segments(windows, CLASSES, threshold=0.5)
    assert [(s.start_seconds, s.end_seconds) for s in segments] == [(0, 1.5), (2.5, 4)]
    assert len(merge_segments(windows, CLASSES, threshold=0.4)) == 3


def test_a_score_at_the_threshold_counts():
    windows = make_windows([0], [1], [[0.5, 0.25, 0.25]])
    assert len(merge_segments(windows, CLASSES, threshold=0.5)) == 1
    assert merge_segments(windows, CLASSES, threshold=0.501) == []


def test_touching_windows_join_and_distant_ones_do_not():
    touching = make_windows([0, 1], [1, 2], [RUN, RUN])
    assert len(merge_segments(touching, CLASSES, threshold=0.5)) == 1
    distant = make_windows([0, 2], [1, 3], [RUN, RUN])
    segments = merge_segments(distant, CLASSES, threshold=0.5)
    assert [(s.start_seconds, s.end_seconds) for s in segments] == [(0, 1), (2, 3)]


@st.composite
def many_windows(draw):
    """Windows of one length, in whole sixteenths of a second: sums and halves are exact."""
    length = draw(st.integers(1, 40)) * 2
    steps = draw(st.lists(st.integers(1, 60), max_size=12))
    starts = np.cumsum([0, *steps])
    rows = draw(
        st.lists(
            st.sampled_from([RUN, JUMP, REST, UNSURE]), min_size=len(starts), max_size=len(starts)
        )
    )
    return make_windows(starts / 16, (starts + length) / 16, rows)


@given(
    many_windows(),
    st.sampled_from([0.0, 0.5, 0.65, 1.0]),
    st.lists(st.integers(-50, 1500), min_size=5, max_size=20),
)
def test_segments_say_at_every_time_what_the_nearest_window_says(windows, threshold, ticks):
    segments = merge_segments(windows, CLASSES, threshold=threshold)
    bounds = [t for s in segments for t in (s.start_seconds, s.end_seconds)]
    assert bounds == sorted(bounds)
    assert all(s.start_seconds < s.end_seconds for s in segments)
    for before, after in itertools.pairwise(segments):
        assert before.label != after.label or before.end_seconds < after.start_seconds
    # Odd sixty-fourths, which are neither ends nor middles of windows.
    for seconds in [(2 * tick + 1) / 64 for tick in ticks]:
        said = [s.label for s in segments if s.start_seconds < seconds < s.end_seconds]
        score, label = windows.at(seconds).max(dim=0)
        is_covered = np.any((windows.starts < seconds) & (seconds < windows.ends))
        assert said == ([int(label)] if is_covered and score >= threshold else [])


def test_unusable_input_is_refused():
    windows = make_windows([0, 1], [2, 3], [RUN, RUN])
    with pytest.raises(ValueError, match=r"threshold is 1\.5; scores lie in \[0, 1\]"):
        merge_segments(windows, CLASSES, threshold=1.5)
    with pytest.raises(ValueError, match="there are 2 class names for 3 scores of a window; pass"):
        merge_segments(windows, CLASSES[:2], threshold=0.5)
    with pytest.raises(ValueError, match="starts of windows must ascend, but 0 comes after 1"):
        merge_segments(make_windows([1, 0], [2, 3], [RUN, RUN]), CLASSES, threshold=0.5)
    with pytest.raises(ValueError, match="ends of windows must ascend, but 2 comes after 2"):
        merge_segments(make_windows([0, 1], [2, 2], [RUN, RUN]), CLASSES, threshold=0.5)
