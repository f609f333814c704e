import numpy as np
import pytest
import torch

from gcvideo.inference import LiveScores, SegmentMerger, WindowScores, merge_segments

CLASSES = ["a", "b", "c"]


def merged(starts, ends, scores, threshold, gaps=()):
    """Segments as they are closed, and how many windows had come by then."""
    merger, found = SegmentMerger(CLASSES, threshold), []
    for number, (start, end, row) in enumerate(zip(starts, ends, scores, strict=True)):
        closed = [merger.close()] if number in gaps else []
        closed.append(merger.add(LiveScores(float(start), float(end), row)))
        found += [(number, segment) for segment in closed if segment is not None]
    last = merger.close()
    assert merger.close() is None
    return found + ([(len(starts), last)] if last is not None else [])


def assert_same(found, expected):
    assert [(s.label, s.name) for s in found] == [(s.label, s.name) for s in expected]
    for key in ("start_seconds", "end_seconds"):
        assert [getattr(s, key) for s in found] == [getattr(s, key) for s in expected]
    np.testing.assert_allclose([s.score for s in found], [s.score for s in expected], rtol=1e-12)


@pytest.mark.parametrize("seed", range(50))
def test_segments_are_those_of_the_whole(seed):
    random = np.random.default_rng(seed)
    num_windows = int(random.integers(1, 40))
    strides = random.choice([0.25, 0.5, 1.0, 1.5], num_windows)
    starts = np.cumsum(strides) - strides[0]
    # Constant and varying lengths; behind some windows there is nothing.
    lengths = 1.0 if seed % 2 else random.choice([0.9, 1.0, 1.1], num_windows)
    ends = np.maximum.accumulate(starts + lengths) + 1e-3 * np.arange(num_windows)
    labels = np.repeat(random.integers(0, 3, num_windows), random.integers(1, 4, num_windows))
    scores = torch.rand(num_windows, 3, generator=torch.Generator().manual_seed(seed))
    scores[torch.arange(num_windows), torch.from_numpy(labels[:num_windows])] += 0.5
    scores = scores.clamp(0, 1)
    windows = WindowScores(starts, ends, scores)
    for threshold in (0.0, 0.6, 0.9, 1.0):
        expected = merge_segments(windows, CLASSES, threshold=threshold)
        found = [segment for _, segment in merged(starts, ends, scores, threshold)]
        assert_same(found, expected)
        # Closed at a gap, too, they are those of the whole.
        gaps = np.flatnonzero(starts[1:] >= ends[:-1] + 1e-9) + 1
        assert_same([s for _, s in merged(starts, ends, scores, threshold, set(gaps))], expected)


def test_a_segment_is_told_with_the_window_that_ends_it():
    scores = torch.tensor([[0.9, 0, 0]] * 3 + [[0, 0.8, 0]] * 2 + [[0.1, 0.1, 0.1]] * 2)
    starts = np.arange(7.0)
    found = merged(starts, starts + 1.5, scores, 0.5)
    assert [(number, s.name) for number, s in found] == [(3, "a"), (5, "b")]
    assert [(s.start_seconds, s.end_seconds) for _, s in found] == [(0, 3.25), (3.25, 5.25)]


def test_windows_across_a_gap_do_not_share_their_time():
    scores = torch.tensor([[0.9, 0, 0]] * 2)
    (before, first), (after, second) = merged([0.0, 0.5], [1.0, 1.5], scores, 0.5, gaps={1})
    assert (before, after) == (1, 2)
    assert (first.start_seconds, first.end_seconds) == (0, 1)
    assert (second.start_seconds, second.end_seconds) == (0.5, 1.5)
