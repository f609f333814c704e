"""A long video classified in windows, and the windows merged into segments."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from gcvideo.data import (
    EvaluationProtocol,
    VideoReader,
    WholeVideoSampling,
    evaluation_views,
    run_within,
)
from gcvideo.data.loading._time_grid import frames_at
from gcvideo.data.video._stream import stream_frames
from gcvideo.inference._classifier import TrainedClassifier
from gcvideo.inference._prediction import Prediction
from gcvideo.inference._seconds_bar import seconds_bar
from gcvideo.inference._view_vectors import (
    Compute,
    feature_vectors,
    require_features,
    scores_of,
)

# Frames by which a time stamp, rounded to the container's clock, may be early.
STAMP_TOLERANCE = 0.1


@dataclass(frozen=True, eq=False)
class WindowScores:
    """Scores of the windows of one video, in the order of time.

    Args:
        starts: seconds from the first frame of the video to the start of each window.
        ends: seconds from the first frame of the video to the end of each window.
        scores: scores in [0, 1], or features, one row per window.
    """

    starts: Float64[np.ndarray, "n"]
    ends: Float64[np.ndarray, "n"]
    scores: Float[Tensor, "n k"]

    def at(self, seconds: float) -> Float[Tensor, " k"]:
        """Scores of the window :meth:`nearest` to a time."""
        return self.scores[self.nearest(seconds)]

    def nearest(self, seconds: float) -> int:
        """Index of the window with the nearest centre; the earlier of two that are equally near."""
        centres = (self.starts + self.ends) / 2
        return int(np.abs(centres - seconds).argmin())


def classify_windows(
    classifier: TrainedClassifier,
    path: str | Path,
    *,
    stride_seconds: float,
    num_crops: int = 1,
    batch_size: int = 8,
    time_budget_seconds: float | None = None,
    progress: bool = True,
    _compute: Compute = scores_of,
) -> WindowScores:
    r"""Scores of a video in windows of one clip, which start every ``stride_seconds``.

        first_j = min {i : t_i >= j stride - 0.1 / fps},  j = 0, 1, ...
        the last is min {i : t_i >= t_n - (w + 1/2) / fps},  t_n = t_{n-1} + 1 / fps
        frames of a window: those at t_first + o / fps, see :func:`~gcvideo.data.loading._time_grid.frames_at`

    where the n frames of the video are shown at times t, fps is their mean rate, and ``o`` and w are those
    of :func:`window_offsets`. At a constant rate, these are the frames first + o; the last window starts
    with frame n - w and ends with the video. A frame that is shown for more than two windows (of w / fps
    each) starts one when it appears, and another after each window, so a stride of at most one window
    covers the whole video. A window ends when its last frame disappears. Of several windows with the same
    last frame, this holds for the latest; the others have its length. A video of fewer than w frames is
    one window, under the protocol's own rule for short videos. Memory holds the frames of one batch,
    however long the video is.

    Args:
        classifier: classifier with net and protocol.
        path: file to classify.
        stride_seconds: seconds between the starts of two windows.
        num_crops: 1 (centre) or 3 spatial views per window, whose scores are averaged.
        batch_size: windows that are read and classified at a time.
        time_budget_seconds: seconds for opening the file, and for the frames of each batch; None: no limit.
        progress: whether to show a progress bar on standard error if it is a terminal.

    Raises:
        VideoReadError: if the file cannot be read.
        ValueError: if the stride is not positive or the batch size is less than one.
    """
    check_stride(stride_seconds)
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; classify at least 1 window at a time")
    protocol = classifier.protocol
    within: Any = partial(run_within, time_budget_seconds, str(path))
    with (
        within(lambda: VideoReader(path, square_pixels=protocol.square_pixels)) as reader,
        seconds_bar("Classifying", show=progress) as tell,
    ):
        shown, fps = reader.timeline.seconds, reader.info.fps
        gone = np.append(shown[1:], reader.info.duration_seconds)
        offsets = window_offsets(protocol, fps)
        span = int(offsets.max()) + 1
        if len(shown) < span:
            starts, ends = shown[:1], gone[-1:]
            clips = clip_of_short(protocol, shown, fps)[None]
        else:
            # A frame starts a window if it is the first one after some multiple of the stride.
            passed = np.floor((shown + STAMP_TOLERANCE / fps) / stride_seconds)
            firsts = np.flatnonzero(np.diff(passed, prepend=-1) > 0)
            final = int(np.searchsorted(shown, shown[-1] - (span - 0.5) / fps))
            window = span / fps
            stills = np.flatnonzero(np.diff(shown) > 2 * window)
            repeats = [np.arange(shown[i], shown[i + 1] - window, window) for i in stills.tolist()]
            starts = np.unique(
                np.concatenate([shown[firsts[firsts < final]], shown[[final]], *repeats])
            )
            clips = frames_at(starts[:, None] + offsets / fps, shown, 1 / fps)
            last = clips.max(axis=1)
            latest = np.searchsorted(last, last, side="right") - 1
            ends = gone[last] - (starts[latest] - starts)
        batches = [slice(i, i + batch_size) for i in range(0, len(clips), batch_size)]
        wanted = [np.unique(clips[batch]) for batch in batches]
        frame_sets = _read(reader, wanted, protocol)
        scores: list[Float[Tensor, "b k"]] = []
        for batch, indices in zip(batches, wanted, strict=True):
            frames = within(lambda: next(frame_sets))
            positions = np.searchsorted(indices, clips[batch])
            scores.append(classify_clips(classifier, frames, positions, num_crops, _compute))
            tell(float(ends[batch][-1]), float(gone[-1]))
    return WindowScores(starts, ends, torch.cat(scores))


def window_features(
    classifier: TrainedClassifier, path: str | Path, **options: Any
) -> WindowScores:
    """Features of a video in windows, with the windows, options and errors of :func:`classify_windows`.

    The rows of ``scores`` are the vectors of ``classifier.features``.

    Raises:
        ValueError: also if the net has no such layer, or another program computes it.
    """
    require_features(classifier)
    return classify_windows(classifier, path, **options, _compute=feature_vectors)


def merge_segments(
    windows: WindowScores, classes: Sequence[str], *, threshold: float
) -> list[Prediction]:
    """Segments of a video, each showing one class, in the order of time; they never overlap.

    Where windows overlap, each owns the time on its side of the middle. Window i, from s_i to e_i, owns

        [max(s_i, (e_{i-1} + s_i) / 2), min(e_i, (e_i + s_{i+1}) / 2)]

    For windows of equal length, this is the time that is nearest to the centre of window i, so
    :meth:`WindowScores.at` agrees with the segments. The best class of the window counts if its score
    is at least ``threshold``; otherwise the time stays empty. Adjacent times of one class become one
    segment, whose score is the mean score of the class over its windows.

    Args:
        windows: windows whose starts and ends both ascend, such as those of ``classify_windows``.
        classes: names in label order.
        threshold: lowest score that counts.

    Raises:
        ValueError: if the threshold is outside [0, 1], the number of names is not that of the scores, or
            the windows are out of order.
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
    labels, scores = best.indices.numpy(), best.values.double().numpy()
    counts = scores >= threshold
    is_same = counts[1:] & counts[:-1] & (labels[1:] == labels[:-1]) & (starts[1:] == ends[:-1])
    runs = np.split(np.arange(len(labels)), np.flatnonzero(~is_same) + 1)
    return [
        Prediction(
            label=int(labels[run[0]]),
            name=classes[int(labels[run[0]])],
            score=float(scores[run].mean()),
            start_seconds=float(starts[run[0]]),
            end_seconds=float(ends[run[-1]]),
        )
        for run in runs
        if counts[run].any()
    ]


def window_offsets(protocol: EvaluationProtocol, fps: float) -> Int64[np.ndarray, "t"]:
    """Frames of a window counted from its first: o, where w = max(o) + 1 frames are spanned.

        o = c - min(c),    c = the protocol's single clip of a video of tau T ceil(fps) frames

    A video of that length has room for the clip of every rule that takes at least one frame per second;
    for rules that spread a clip over the whole video, it has tau T frames. A window that starts where the
    protocol's own clip does is that clip. The exceptions are one frame where PyTorchVideo's window is not a
    whole number of frames, SlowFast's single precision minutes into a video, and rules for whole videos.
    """
    num_frames = protocol.num_frames * protocol.sampling_rate
    if not isinstance(protocol.sampling, WholeVideoSampling):
        num_frames *= max(1, math.ceil(fps))
    clip = protocol.sampling.test(num_frames, fps, protocol.spec, 1)[0]
    return clip - clip.min()


def clip_of_short(
    protocol: EvaluationProtocol, shown: Float64[np.ndarray, "n"], fps: float
) -> Int64[np.ndarray, "t"]:
    """Frames of the single clip of a video that is shorter than a window, under the protocol's rule."""
    places = protocol.sampling.test(len(shown), fps, protocol.spec, 1)[0]
    return frames_at(places / fps, shown, 1 / fps)


def classify_clips(
    classifier: TrainedClassifier,
    frames: UInt8[np.ndarray, "u h w 3"],
    clips: Int64[np.ndarray, "b t"],
    num_crops: int,
    compute: Compute = scores_of,
) -> Float[Tensor, "b k"]:
    """The vector of each clip, on the CPU; clips are positions in the distinct frames."""
    protocol = classifier.protocol.for_prediction(1, num_crops)
    views = evaluation_views(frames, clips, protocol).unflatten(0, (len(clips), num_crops))
    return compute(classifier, views, None).cpu()


def check_stride(stride_seconds: float) -> None:
    """Raise ValueError unless a stride is a positive number of seconds."""
    if not 0 < stride_seconds < math.inf:
        raise ValueError(
            f"stride_seconds is {stride_seconds:g} but must be positive and finite; 1 gives a result "
            "every second"
        )


def _read(
    reader: VideoReader, wanted: Sequence[Int64[np.ndarray, "_"]], protocol: EvaluationProtocol
) -> Iterator[UInt8[np.ndarray, "_ h w 3"]]:
    """Frames of each set of indices; each set starts and ends after the one before."""
    if reader.timeline.is_direct:
        for indices in wanted:
            yield reader.read(indices, short_side=protocol.decode_size)
        return
    # Each read would decode such a file from its start, so this decodes it once for all sets.
    kept: dict[int, UInt8[np.ndarray, "h w 3"]] = {}
    with stream_frames(
        str(Path(reader.path).absolute()),
        short_side=protocol.decode_size,
        square_pixels=protocol.square_pixels,
    ) as frames:
        numbered = enumerate(frame for _, frame in frames)
        for indices in wanted:
            kept = {index: frame for index, frame in kept.items() if index >= indices[0]}
            while indices[-1] not in kept:
                index, frame = next(numbered)
                if index >= indices[0]:
                    kept[index] = frame
            yield np.stack([kept[index] for index in indices.tolist()])
