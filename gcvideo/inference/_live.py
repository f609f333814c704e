"""Classification of frames as they arrive."""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gcvideo.data import EvaluationProtocol
from gcvideo.data.loading._time_grid import frames_at
from gcvideo.data.loading._transform import resize_frames
from gcvideo.inference._backlog import Backlog
from gcvideo.inference._classifier import TrainedClassifier
from gcvideo.inference._sliding_window import (
    STAMP_TOLERANCE,
    check_stride,
    classify_clips,
    clip_of_short,
    window_offsets,
)


@dataclass(frozen=True, eq=False)
class LiveScores:
    """Scores of one window of a source.

    Args:
        start_seconds: time of its first frame, on the clock of the frames.
        end_seconds: end of its last frame.
        scores: scores in [0, 1].
    """

    start_seconds: float
    end_seconds: float
    scores: Float[Tensor, " k"]


def classify_live(
    classifier: TrainedClassifier,
    frames: Iterable[tuple[float, UInt8[np.ndarray, "h w 3"]]],
    *,
    stride_seconds: float,
    num_crops: int = 1,
    backlog: Backlog | None = None,
) -> Iterator[LiveScores]:
    """Scores every ``stride_seconds`` for frames that are still arriving.

    A result is yielded with the frame that completes its window. At a constant rate, windows and scores
    equal those of :func:`~gcvideo.inference._sliding_window.classify_windows`, including the last one.
    Otherwise, the length of a window follows from the rate fps of its own m frames at seconds t. It shows

        the frames at t_0 + o / fps,    fps = (m - 1) / (t_{m-1} - t_0)

    with the offsets o of :func:`~gcvideo.inference._sliding_window.window_offsets` and the rule of
    :func:`~gcvideo.data.loading._time_grid.frames_at`. After a gap longer than a window, a new window
    starts. Only the frames of the last window are kept, at the protocol's short side. The next frame is
    requested when a result has been used. If that takes longer than the stride, a source that waits for its
    reader, such as a pipe, is read more slowly; a live source fills its own buffer and then drops frames.
    With a ``backlog``, windows that would be too late are left out and counted; the last one never is.

    Args:
        classifier: classifier with net and protocol.
        frames: pairs (seconds, RGB) such as those from
            :func:`~gcvideo.data.video._stream.stream_frames`; with the protocol's ``decode_size`` as
            ``short_side``, and the protocol's ``square_pixels``, the scores equal those of the file.
        stride_seconds: seconds between the starts of two windows.
        num_crops: 1 (centre) or 3 spatial views per window, whose scores are averaged.
        backlog: rule by which late windows are left out, and their count; None leaves out none.

    Raises:
        ValueError: if the stride is not positive, or later, if the times of the frames do not ascend.
    """
    check_stride(stride_seconds)
    kept = backlog or Backlog(stride_seconds, None)

    def results() -> Iterator[LiveScores]:
        window = _Window(classifier.protocol)
        due, is_told, is_left_out = 0.0, True, False
        for seconds, frame in kept.frames(frames):
            window.add(seconds, frame)
            is_told = is_left_out = False
            tolerance = STAMP_TOLERANCE / window.fps
            if window.is_full and window.start_seconds >= due - tolerance:
                passed = (window.start_seconds + tolerance) // stride_seconds
                # Where frames are rarer than the stride, not every multiple of it starts a window.
                usual = max(math.ceil(window.least_step / stride_seconds), 1)
                is_told = kept.admits_window(
                    max(0, round(passed - due / stride_seconds) - usual + 1)
                )
                is_left_out = not is_told
                if is_told:
                    yield window.classify(classifier, num_crops)
                due = (passed + 1) * stride_seconds
        if not is_told:
            kept.num_left_out -= is_left_out  # the last window is never late
            yield window.classify(classifier, num_crops)

    return results()


class _Window:
    """The last frames of a source, as many as a window spans at their rate."""

    def __init__(self, protocol: EvaluationProtocol) -> None:
        self._protocol = protocol
        self._times: deque[float] = deque()
        self._frames: deque[UInt8[np.ndarray, "h w 3"]] = deque()
        self.fps = 30.0  # until there are two frames to measure it
        self._measure()

    @property
    def start_seconds(self) -> float:
        return self._times[0]

    @property
    def is_full(self) -> bool:
        return len(self._times) == self._span

    @property
    def least_step(self) -> float:
        """Seconds between two frames, where none is missing."""
        return float(np.diff(self._times).min(initial=1 / self.fps))

    def add(self, seconds: float, frame: UInt8[np.ndarray, "h w 3"]) -> None:
        if self._times and not seconds > self._times[-1]:
            raise ValueError(
                f"a frame at {seconds:g} seconds comes after one at {self._times[-1]:g}; pass frames "
                "in the order of time, each with a time of its own"
            )
        # A single frame has no rate; frames so far apart form windows of their own.
        if len(self._times) > 1 and seconds - self._times[-1] > self._span / self.fps:
            self._times.clear()
            self._frames.clear()
        self._times.append(seconds)
        # A copy, since the source may write its next frame over this one.
        video = torch.from_numpy(frame[None].copy()).permute(0, 3, 1, 2)
        resized = resize_frames(video, self._protocol)
        self._frames.append(resized[0].permute(1, 2, 0).contiguous().numpy())
        self._measure()
        while len(self._times) > self._span:
            self._times.popleft()
            self._frames.popleft()
            self._measure()

    def classify(self, classifier: TrainedClassifier, num_crops: int) -> LiveScores:
        since = np.array(self._times) - self._times[0]
        if self.is_full:
            clip = frames_at(self._offsets / self.fps, since, 1 / self.fps)
        else:
            clip = clip_of_short(self._protocol, since, self.fps)
        shown, positions = np.unique(clip, return_inverse=True)
        frames = np.stack([self._frames[i] for i in shown.tolist()])
        scores = classify_clips(classifier, frames, positions[None], num_crops)
        return LiveScores(self._times[0], self._times[-1] + 1 / self.fps, scores[0])

    def _measure(self) -> None:
        if len(self._times) > 1:
            rate = (len(self._times) - 1) / (self._times[-1] - self._times[0])
            # The exact rate of a steady source, such as 30000/1001, despite rounded stamps.
            self.fps = float(Fraction(rate).limit_denominator(1001)) or rate
        self._offsets = window_offsets(self._protocol, self.fps)
        self._span = int(self._offsets.max()) + 1
