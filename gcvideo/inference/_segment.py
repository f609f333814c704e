"""What happens when in a video: windows merged into segments."""

from collections.abc import Sequence

import numpy as np

from gcvideo.inference._prediction import Prediction
from gcvideo.inference._sliding_window import WindowScores


def merge_segments(
    windows: WindowScores, classes: Sequence[str], *, threshold: float
) -> list[Prediction]:
    """Segments of a video in which one class was seen, in the order of time; they never overlap.

    Overlapping windows share their time in the middle: window i, from s_i to e_i, speaks for

        [max(s_i, (e_{i-1} + s_i) / 2), min(e_i, (e_i + s_{i+1}) / 2)]

    For windows of one length this is the time whose nearest centre is that of window i, and
    :meth:`WindowScores.at` agrees with the segments. Its best class counts if the score is at least
    ``threshold``; otherwise its time stays empty. Touching parts of one class become one segment, whose
    score is the mean over its windows of their score for the class.

    Args:
        windows: windows whose starts and ends both ascend, as those of ``classify_windows`` do.
        classes: names in label order.
        threshold: lowest score of a window that counts.

    Raises:
        ValueError: if the threshold is not in [0, 1], the names are not as many as the scores of a
            window, or windows are out of order.
    """
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
    middles = (windows.ends[:-1] + windows.starts[1:]) / 2
    starts, ends = windows.starts.copy(), windows.ends.copy()
    starts[1:] = np.maximum(starts[1:], middles)
    ends[:-1] = np.minimum(ends[:-1], middles)
    best = windows.scores.max(dim=1)
    labels: list[int] = best.indices.tolist()
    scores: list[float] = best.values.tolist()
    runs: list[list[int]] = []
    for i, score in enumerate(scores):
        if not score >= threshold:
            continue
        is_next = bool(runs) and runs[-1][-1] == i - 1
        if is_next and labels[i - 1] == labels[i] and ends[i - 1] == starts[i]:
            runs[-1].append(i)
        else:
            runs.append([i])
    return [
        Prediction(
            label=labels[run[0]],
            name=classes[labels[run[0]]],
            score=sum(scores[i] for i in run) / len(run),
            start_seconds=float(starts[run[0]]),
            end_seconds=float(ends[run[-1]]),
        )
        for run in runs
    ]
