"""What is told of a live source: on the screen, in the output, and in numbers at the end."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo.command.predict._classification import warn_of_gaps
from gcvideo.command.predict._live_output import LiveOutput
from gcvideo.data import StreamGap
from gcvideo.data.video._reconnecting import TimedFrame
from gcvideo.inference import Backlog, LiveScores, Prediction, SegmentMerger, TrainedClassifier
from gcvideo.inference._seconds_bar import format_seconds

_CONSOLE, _ERRORS = Console(), Console(stderr=True)


class LiveRecord:
    """Shows and writes windows, segments and gaps when they are known, and keeps none of them."""

    def __init__(
        self,
        cfg: DictConfig,
        classifier: TrainedClassifier,
        output: LiveOutput,
        backlog: Backlog,
    ) -> None:
        self._classifier, self._top_k, self._output = classifier, cfg.top_k, output
        self._merger = SegmentMerger(classifier.classes, cfg.threshold)
        self._backlog, self._threshold = backlog, cfg.threshold
        self._num_windows = self._num_segments = self._num_gaps = 0
        self._end_seconds = 0.0
        self._last_arrival = _utc()
        self._is_late = False

    def begin(self, source: str) -> None:
        """Tell what the rows are of."""
        self._output.append(
            {
                "kind": "start",
                "video": source,
                "utc": _utc(),
                "checkpoint": self._classifier.source,
                "engine": self._classifier.engine,
                "precision": self._classifier.precision,
                "stride_seconds": self._backlog.stride_seconds,
                "threshold": self._threshold,
            }
        )

    def arriving(self, frames: Iterable[TimedFrame]) -> Iterator[TimedFrame]:
        """The same frames; the time on the clock of this machine is noted with each."""
        for frame in frames:
            self._last_arrival = _utc()
            yield frame

    def add_window(self, window: LiveScores) -> None:
        """Tell a window, whose last frame is the last that came, and the segment that it ends."""
        start, end = window.start_seconds, window.end_seconds
        ranking = self._classifier.rank(window.scores, self._top_k)
        classes = ", ".join(f"{p.name} {p.score:.2f}" for p in ranking)
        _show(start, end, classes)
        self._output.append(
            {
                "kind": "window",
                "start_seconds": start,
                "end_seconds": end,
                "utc": self._last_arrival,
                "classes": [_class(p) for p in ranking],
            }
        )
        self._num_windows += 1
        self._end_seconds = end
        if self._num_windows == 2:
            warn_of_gaps(self._backlog.stride_seconds, end - start)
        self._add_segment(self._merger.add(window))
        self._warn_if_late()

    def close_segment(self) -> None:
        """Tell the segment that is open when a connection ends."""
        self._add_segment(self._merger.close())

    def add_gap(self, gap: StreamGap) -> None:
        """Tell a time without frames."""
        row = {"start_seconds": gap.start_seconds, "end_seconds": gap.end_seconds}
        self._output.append({"kind": "gap", **row, "utc": _utc(), "reason": gap.reason})
        _show(gap.start_seconds, gap.end_seconds, f"no frames: {gap.reason}")
        self._num_gaps += 1
        self._end_seconds = gap.end_seconds

    def end(self, reason: str) -> None:
        """Tell the last segment and the numbers of all, and close the output."""
        self.close_segment()
        counts = {
            "windows": self._num_windows,
            "segments": self._num_segments,
            "gaps": self._num_gaps,
            "windows_left_out": self._backlog.num_left_out,
        }
        row = {"kind": "end", "end_seconds": self._end_seconds, "utc": _utc(), **counts}
        self._output.append({**row, "reason": reason})
        self._output.close()
        told = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items())
        _CONSOLE.print(f"{reason}: {told}", soft_wrap=True)

    def _add_segment(self, segment: Prediction | None) -> None:
        if segment is None:
            return
        times = {"start_seconds": segment.start_seconds, "end_seconds": segment.end_seconds}
        self._output.append({"kind": "segment", **times, **_class(segment)})
        start, end = segment.start_seconds or 0, segment.end_seconds or 0
        _show(start, end, f"segment: {segment.name} {segment.score:.2f}")
        self._num_segments += 1

    def _warn_if_late(self) -> None:
        backlog = self._backlog
        if self._is_late or not backlog.num_left_out:
            return
        self._is_late = True
        stride, window = backlog.stride_seconds, backlog.window_seconds
        remedy = f"give stride_seconds={1.2 * window:.2g} or more" if window > stride else ""
        _ERRORS.print(
            f"warning: a window takes {window:.2g} s and one starts every {stride:g} s; those that would come "
            f"more than {backlog.max_delay_seconds:g} s late are left out and counted at the end"
            + (f"; {remedy}" if remedy else ""),
            soft_wrap=True,
        )


def tell(line: str) -> None:
    """Print what happens to a source to the standard error, with the time."""
    _ERRORS.print(f"{_utc()} {line}", soft_wrap=True)


def _show(start: float, end: float, text: str) -> None:
    _CONSOLE.print(f"{format_seconds(start)} - {format_seconds(end)}  {text}", soft_wrap=True)


def _class(p: Prediction) -> dict[str, Any]:
    return {"label": p.label, "name": p.name, "score": p.score}


def _utc() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
