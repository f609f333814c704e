"""Windows over a long video: the protocol's clip, moved on again and again."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from gcvideo.data import EvaluationProtocol, VideoReader, WholeVideoSampling, evaluation_views
from gcvideo.data.loading._time_grid import frames_at
from gcvideo.data.video._stream import stream_frames
from gcvideo.evaluation import average_views
from gcvideo.inference._classifier import TrainedClassifier
from gcvideo.inference._seconds_bar import seconds_bar

# Time stamps are rounded to the container's clock: so much early, in frames, is still in time.
STAMP_TOLERANCE = 0.1


@dataclass(frozen=True, eq=False)
class WindowScores:
    """Scores of the windows of one video, in the order of time.

    Args:
        starts: seconds since the first frame of the video at which each window starts.
        ends: seconds since then at which each window ends.
        scores: scores in [0, 1], one row a window.
    """

    starts: Float64[np.ndarray, "n"]
    ends: Float64[np.ndarray, "n"]
    scores: Float[Tensor, "n k"]

    def at(self, seconds: float) -> Float[Tensor, " k"]:
        """Scores of the window :meth:`nearest` to a time."""
        return self.scores[self.nearest(seconds)]

    def nearest(self, seconds: float) -> int:
        """The window whose centre is nearest; of two equally near, the earlier."""
        centres = (self.starts + self.ends) / 2
        return int(np.abs(centres - seconds).argmin())


def classify_windows(
    classifier: TrainedClassifier,
    path: str | Path,
    *,
    stride_seconds: float,
    num_crops: int = 1,
    batch_size: int = 8,
    progress: bool = True,
) -> WindowScores:
    r"""Scores of a video in windows of one clip that start every ``stride_seconds``.

        first_j = min {i : t_i >= j stride - 0.1 / fps},  j = 0, 1, ...
        the last is min {i : t_i >= t_n - (w + 1/2) / fps},  t_n = t_{n-1} + 1 / fps
        frames of a window: those at t_first + o / fps, see :func:`~gcvideo.data.loading._time_grid.frames_at`

    with the n frames of the video shown at t, its mean rate fps, and the ``o`` and w of
    :func:`window_offsets`. At a constant rate these are the frames first + o, and the last window starts
    with frame n - w. It ends with the video. A frame that stays for more than two windows, w / fps each,
    starts one when it comes and again after each window: with a stride of at most a window, all of the
    video lies in some window. A window ends when its last frame goes; of several with the same last frame
    the latest does, and they are of one length. A video of less than w frames is one window, by the
    protocol's own rule for short videos. Memory holds the frames of one batch, however long the video is.

    Args:
        classifier: classifier with net and protocol.
        path: file to classify.
        stride_seconds: seconds between the starts of two windows.
        num_crops: 1 (centre) or 3 spatial views per window, whose scores are averaged.
        batch_size: windows that are read and classified at a time.
        progress: whether a terminal shows, on standard error, how far the work has come.

    Raises:
        VideoReadError: if the file cannot be read.
        ValueError: if the stride is not positive or the batch size is less than one.
    """
    check_stride(stride_seconds)
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; classify at least 1 window at a time")
    protocol = classifier.protocol
    with (
        VideoReader(path, square_pixels=protocol.square_pixels) as reader,
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
            starts = _starts(shown, fps, span, stride_seconds)
            clips = frames_at(starts[:, None] + offsets / fps, shown, 1 / fps)
            last = clips.max(axis=1)
            latest = np.searchsorted(last, last, side="right") - 1
            ends = gone[last] - (starts[latest] - starts)
        batches = [slice(i, i + batch_size) for i in range(0, len(clips), batch_size)]
        wanted = [np.unique(clips[batch]) for batch in batches]
        frame_sets = _read(reader, wanted, protocol)
        scores: list[Float[Tensor, "b k"]] = []
        for batch, indices, frames in zip(batches, wanted, frame_sets, strict=True):
            positions = np.searchsorted(indices, clips[batch])
            scores.append(classify_clips(classifier, frames, positions, num_crops))
            tell(float(ends[batch][-1]), float(gone[-1]))
    return WindowScores(starts, ends, torch.cat(scores))


def window_offsets(protocol: EvaluationProtocol, fps: float) -> Int64[np.ndarray, "t"]:
    """Frames of a window counted from its first: o, where w = max(o) + 1 frames are spanned.

        o = c - min(c),    c = the protocol's single clip of a video of tau T ceil(fps) frames

    That video has room for the clip of every rule which paces to at least one frame a second; for rules
    that spread a clip over the whole video it has tau T frames. A window that starts with the protocol's
    own clip is that clip, but for a frame where PyTorchVideo's window is not of a whole number of frames,
    for SlowFast's single precision minutes into a video, and for rules of the whole video.
    """
    num_frames = protocol.num_frames * protocol.sampling_rate
    if not isinstance(protocol.sampling, WholeVideoSampling):
        num_frames *= max(1, math.ceil(fps))
    clip = protocol.sampling.test(num_frames, fps, protocol.spec, 1)[0]
    return clip - clip.min()


def clip_of_short(
    protocol: EvaluationProtocol, shown: Float64[np.ndarray, "n"], fps: float
) -> Int64[np.ndarray, "t"]:
    """Frames of the single clip of a video that is shorter than a window, by the protocol's rule."""
    places = protocol.sampling.test(len(shown), fps, protocol.spec, 1)[0]
    return frames_at(places / fps, shown, 1 / fps)


def classify_clips(
    classifier: TrainedClassifier,
    frames: UInt8[np.ndarray, "u h w 3"],
    clips: Int64[np.ndarray, "b t"],
    num_crops: int,
) -> Float[Tensor, "b k"]:
    """Scores, on the CPU, of each clip by itself; clips are positions in the distinct frames."""
    protocol = classifier.protocol.for_prediction(1, num_crops)
    views = evaluation_views(frames, clips, protocol).unflatten(0, (len(clips), num_crops))
    return average_views(classifier.logits(views), cast(Any, protocol.average)).cpu()


def check_stride(stride_seconds: float) -> None:
    """Raise ValueError unless a stride is a positive number of seconds."""
    if not 0 < stride_seconds < math.inf:
        raise ValueError(
            f"stride_seconds is {stride_seconds:g} but must be positive and finite; 1 gives a result "
            "every second"
        )


def _starts(
    shown: Float64[np.ndarray, "n"], fps: float, span: int, stride: float
) -> Float64[np.ndarray, "m"]:
    # A frame starts a window if it is the first one after some multiple of the stride.
    passed = np.floor((shown + STAMP_TOLERANCE / fps) / stride)
    firsts = np.flatnonzero(np.diff(passed, prepend=-1) > 0)
    last = int(np.searchsorted(shown, shown[-1] - (span - 0.5) / fps))
    window = span / fps
    stills = np.flatnonzero(np.diff(shown) > 2 * window)
    repeated = [np.arange(shown[i], shown[i + 1] - window, window) for i in stills.tolist()]
    return np.unique(np.concatenate([shown[firsts[firsts < last]], shown[[last]], *repeated]))


def _read(
    reader: VideoReader, wanted: Sequence[Int64[np.ndarray, "_"]], protocol: EvaluationProtocol
) -> Iterator[UInt8[np.ndarray, "_ h w 3"]]:
    """Frames of each set of indices; the sets start and end ever later."""
    if reader.timeline.is_direct:
        for indices in wanted:
            yield reader.read(indices, short_side=protocol.decode_size)
        return
    # Such a file is decoded from its start at every read: here it is, once, for all sets.
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
