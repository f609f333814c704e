"""Segments of a live source, each of which is known as soon as it is over."""

from collections.abc import Sequence
from dataclasses import dataclass

from gcvideo.inference._live import LiveScores
from gcvideo.inference._prediction import Prediction


@dataclass
class _Run:
    """Windows of one class in a row; the last one may still lose time to the next."""

    label: int
    start: float
    score_sum: float
    num_windows: int = 1


class SegmentMerger:
    """Merges windows into segments as they come; all together are those of ``merge_segments``.

    The time of a window is known when the next one has come, so a segment is given by the window that ends
    it, or by :meth:`close`. Memory holds one window and one open segment. See
    :func:`~gcvideo.inference._sliding_window.merge_segments` for the rule.

    Args:
        classes: names in label order.
        threshold: lowest score that counts.
    """

    def __init__(self, classes: Sequence[str], threshold: float) -> None:
        self._classes, self._threshold = classes, threshold
        self._run: _Run | None = None
        self._last_end: float | None = None

    def add(self, window: LiveScores) -> Prediction | None:
        """The segment that ends with a window, if there is one; windows come in the order of time."""
        start, last_end = window.start_seconds, self._last_end
        if last_end is not None:
            middle = (last_end + start) / 2
            start, last_end = max(start, middle), min(last_end, middle)
        best = window.scores.max(dim=0)
        label, score = int(best.indices), float(best.values.double())
        self._last_end = window.end_seconds
        run, closed = self._run, None
        counts = score >= self._threshold
        if run is not None and counts and run.label == label and start == last_end:
            run.score_sum += score
            run.num_windows += 1
            return None
        if run is not None and last_end is not None:
            closed = self._segment(run, last_end)
        self._run = _Run(label, start, score) if counts else None
        return closed

    def close(self) -> Prediction | None:
        """The segment that is open at the end of the source or at a gap, if there is one."""
        run, end = self._run, self._last_end
        self._run = self._last_end = None
        return None if run is None or end is None else self._segment(run, end)

    def _segment(self, run: _Run, end: float) -> Prediction:
        score = run.score_sum / run.num_windows
        return Prediction(run.label, self._classes[run.label], score, run.start, end)
