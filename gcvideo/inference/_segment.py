from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from gcvideo.inference._sliding_window import WindowScores


@dataclass(frozen=True)
class Segment:
    """A part of a video in which one class was seen.

    Args:
        start_seconds: from the start of the video.
        end_seconds: from the start of the video.
        label: of the class.
        name: of the class.
        score: mean over its windows of their score for the class.
    """

    start_seconds: float
    end_seconds: float
    label: int
    name: str
    score: float


def merge_segments(
    windows: WindowScores, classes: Sequence[str], *, threshold: float
) -> list[Segment]:
    """What happens when in a video: segments in the order of time, which never overlap.

    Overlapping windows share their time in the middle: window i, from s_i to e_i, speaks for

        [max(s_i, (e_{i-1} + s_i) / 2), min(e_i, (e_i + s_{i+1}) / 2)]

    For windows of one length this is the time whose nearest centre is that of window i, and
    :meth:`WindowScores.at` agrees with the segments. Its best class counts if the score is at least
    ``threshold``; otherwise its time stays empty. Touching parts of one class become one segment.

    Args:
        windows: starts and ends must both ascend, as those of ``classify_windows`` do.
        classes: names in label order.
        threshold: lowest score of a window that counts.

    Raises:
        ValueError: if the threshold is not in [0, 1], the names are not as many as the scores of a
            window, or windows are out of order.
    """
    _check(windows, classes, threshold)
    starts, ends = _parts(windows)
    best = windows.scores.max(dim=1)
    labels: list[int] = best.indices.tolist()
    scores: list[float] = best.values.tolist()
    runs: list[list[int]] = []
    for i in range(len(labels)):
        if not scores[i] >= threshold:
            continue
        is_next = bool(runs) and runs[-1][-1] == i - 1
        if is_next and labels[i - 1] == labels[i] and ends[i - 1] == starts[i]:
            runs[-1].append(i)
        else:
            runs.append([i])
    return [
        Segment(
            start_seconds=float(starts[run[0]]),
            end_seconds=float(ends[run[-1]]),
            label=labels[run[0]],
            name=classes[labels[run[0]]],
            score=sum(scores[i] for i in run) / len(run),
        )
        for run in runs
    ]


def _parts(windows: WindowScores) -> tuple[Float64[np.ndarray, "n"], Float64[np.ndarray, "n"]]:
    starts, ends = windows.starts.copy(), windows.ends.copy()
    middles = (windows.ends[:-1] + windows.starts[1:]) / 2
    starts[1:] = np.maximum(starts[1:], middles)
    ends[:-1] = np.minimum(ends[:-1], middles)
    return starts, ends


def _check(windows: WindowScores, classes: Sequence[str], threshold: float) -> None:
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold:g}; scores lie in [0, 1], choose one of them")
    if len(classes) != windows.scores.shape[1]:
        raise ValueError(
            f"there are {len(classes)} class names for {windows.scores.shape[1]} scores of a window; "
            "pass the classes of the classifier that gave the scores"
        )
    for name, times in (("starts", windows.starts), ("ends", windows.ends)):
        if len(out_of_order := np.flatnonzero(np.diff(times) <= 0)):
            i = int(out_of_order[0])
            raise ValueError(
                f"{name} of windows must ascend, but {times[i + 1]:g} comes after {times[i]:g} "
                "seconds; sort the windows"
            )
