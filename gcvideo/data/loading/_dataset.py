"""Listed videos as items and batches of views."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import NamedTuple, TypedDict

import numpy as np
import torch
from jaxtyping import Float32, Int, Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from gcvideo.data.listing._annotation import Annotations
from gcvideo.data.loading._failure import VideoProblem
from gcvideo.data.loading._frame_cache import FrameCache
from gcvideo.data.loading._protocol import EvaluationProtocol
from gcvideo.data.loading._sampler import TrainingKey
from gcvideo.data.loading._sampling import ClipSpec
from gcvideo.data.loading._transform import TrainTransform, evaluation_views
from gcvideo.data.video._container import BinaryFile, VideoReadError
from gcvideo.data.video._deadline import run_within
from gcvideo.data.video._decoding import VideoReader
from gcvideo.data.video._frame_index import FrameIndex
from gcvideo.data.video._timeline import Timeline

_MAX_REPLACEMENTS = 10


class VideoItem(TypedDict):
    """One video with all its views, and what was wrong with it or with those it replaces.

    ``seconds`` are the time to read it, from the opening to the decoded frames, including unreadable
    videos before it, and the time to transform it.
    """

    views: UInt8[Tensor, "v 3 t s s"]
    labels: Int64[Tensor, " v"]
    video: int
    problems: tuple[VideoProblem, ...]
    seconds: tuple[float, float]


class VideoBatch(TypedDict):
    """Items of one loader step, stacked along a new first axis; problems are concatenated."""

    views: UInt8[Tensor, "b v 3 t s s"]
    labels: Int64[Tensor, "b v"]
    video: Int64[Tensor, " b"]
    problems: tuple[VideoProblem, ...]
    seconds: Float32[Tensor, "b 2"]


def collate_videos(items: Sequence[VideoItem]) -> VideoBatch:
    """The batch of some items."""
    return {
        "views": default_collate([item["views"] for item in items]),
        "labels": default_collate([item["labels"] for item in items]),
        "video": default_collate([item["video"] for item in items]),
        "problems": tuple(problem for item in items for problem in item["problems"]),
        "seconds": torch.tensor([item["seconds"] for item in items], dtype=torch.float32),
    }


class _Clips(NamedTuple):
    """Distinct frames of a video and the positions in them that its clips take."""

    frames: UInt8[np.ndarray, "u h w 3"]
    positions: Int[np.ndarray, "v t"]
    num_damaged: int


_Sample = Callable[[Timeline], Int[np.ndarray, "v t"]]


def _read_clips(
    path: str | BinaryFile,
    sample: _Sample,
    protocol: EvaluationProtocol,
    *,
    timeline: Timeline | None = None,
    tolerant: bool = False,
) -> _Clips:
    square = protocol.square_pixels
    with VideoReader(path, timeline=timeline, tolerant=tolerant, square_pixels=square) as reader:
        num_damaged = reader.num_damaged  # of the whole file; a read counts those on its way
        clips = sample(reader.timeline)
        frames = reader.read(np.unique(clips), short_side=protocol.decode_size)
    return _Clips(frames, _positions(clips), num_damaged)


def _positions(clips: Int[np.ndarray, "v t"]) -> Int[np.ndarray, "v t"]:
    """Where clips find their frames among the distinct ones."""
    return np.searchsorted(np.unique(clips), clips)


@dataclass(kw_only=True, eq=False)
class _ListedVideos(Dataset[VideoItem]):
    annotations: Annotations = field(kw_only=False)
    protocol: EvaluationProtocol
    index: FrameIndex | None = None
    time_budget_seconds: float | None = None
    cache: FrameCache | None = None

    def __len__(self) -> int:
        return len(self.annotations)

    def _read(self, video: int, sample: _Sample, *, tolerant: bool = False) -> _Clips:
        path, timeline = self.annotations.path(video), None
        # What is shown of a damaged file must not depend on whether there is an index.
        if self.index is not None and not tolerant:
            timeline = self.index.find(self.annotations.paths[video], path)
        if self.cache is not None and not tolerant:
            clips, frames = self.cache.read(
                path,
                sample,
                self.protocol.decode_size,
                timeline=timeline,
                square_pixels=self.protocol.square_pixels,
            )
            return _Clips(frames, _positions(clips), 0)
        return _read_clips(path, sample, self.protocol, timeline=timeline, tolerant=tolerant)


@dataclass(kw_only=True, eq=False)
class TrainingVideos(_ListedVideos):
    """Random views of listed videos, a pure function of (seed, epoch, video, view).

    Each file is opened once per epoch for all its ``clips_per_video`` views, and each wanted frame
    is decoded once. A damaged file is read without its damaged packets. An unreadable one is replaced
    by another video, with that video's label and the random numbers of the first: again a function of
    (seed, epoch, video). Items report this in ``problems``.

    Args:
        annotations: videos and labels.
        protocol: clip sampling, T and tau.
        transform: spatial augmentation of a clip.
        transforms: augmentations of clips whose key has a shape (multigrid), by its crop in pixels.
        clips_per_video: views per item, each with a clip, crop and flip of its own.
        seed: seed of the whole run.
        index: frame index, which saves scanning the files.
        time_budget_seconds: time for reading one file, after which it counts as unreadable; None: no
            limit.
        cache: memory for decoded frames; None: every epoch reads the files.
    """

    transform: TrainTransform
    transforms: Mapping[int, TrainTransform] = field(default_factory=dict)
    clips_per_video: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.clips_per_video < 1:
            raise ValueError(f"clips_per_video is {self.clips_per_video}; it must be at least 1")

    def __getitem__(self, key: TrainingKey) -> VideoItem:
        """The item of ``(epoch, video)`` or ``(epoch, video, shape)``.

        Raises VideoReadError if neither the video nor any of ten others can be read.
        """
        epoch, slot, *shape = key
        spec, transform = self.protocol.spec, self.transform
        if shape:
            spec = ClipSpec(shape[0].num_frames, shape[0].sampling_rate)
            transform = self.transforms[shape[0].crop_size]
        started = time.perf_counter()
        failed: list[VideoProblem] = []
        for video in self._candidates(epoch, slot):
            path = self.annotations.path(video)
            work = partial(self._read_if_need_be_damaged, epoch, slot, video, spec)
            try:
                clips, streams, reason = run_within(self.time_budget_seconds, path, work)
            except VideoReadError as error:
                failed.append(VideoProblem(video, path, error.reason, 0, None))
                continue
            problems = [problem._replace(replaced_by=video) for problem in failed]
            if reason:
                problems.append(VideoProblem(video, path, reason, clips.num_damaged, None))
            read = time.perf_counter()
            label = int(self.annotations.labels[video])
            views = [
                transform(clips.frames[clip], label, int(rng.integers(2**63)))
                for clip, rng in zip(clips.positions, streams, strict=True)
            ]
            return {
                "views": torch.stack([view for view, _ in views]),
                "labels": torch.tensor([label for _, label in views]),
                "video": video,
                "problems": tuple(problems),
                "seconds": (read - started, time.perf_counter() - read),
            }
        raise VideoReadError(
            failed[0].path,
            f"{failed[0].reason}; none of the {len(failed) - 1} videos tried in its place can be read "
            f"either, such as '{failed[-1].path}' ({failed[-1].reason})",
            "check data.root and the disk it is on",
        )

    def _candidates(self, epoch: int, slot: int) -> Iterator[int]:
        """The video itself, then others, all distinct."""
        yield slot
        # A fifth word, because the streams of views have four, and numpy pads shorter ones with zeros.
        rng = np.random.default_rng([self.seed, epoch, slot, 0, 1])
        others = rng.choice(len(self), min(len(self), _MAX_REPLACEMENTS + 1), replace=False)
        yield from islice((int(v) for v in others if v != slot), _MAX_REPLACEMENTS)

    def _read_if_need_be_damaged(
        self, epoch: int, slot: int, video: int, spec: ClipSpec
    ) -> tuple[_Clips, list[np.random.Generator], str]:
        """Clips, the random numbers that their views continue with, and any damage."""

        def read(*, tolerant: bool) -> tuple[_Clips, list[np.random.Generator]]:
            keys = [[self.seed, epoch, slot, view] for view in range(self.clips_per_video)]
            streams = [np.random.default_rng(key) for key in keys]

            def sample(timeline: Timeline) -> Int[np.ndarray, "v t"]:
                return np.stack([self.protocol.train_clip(timeline, rng, spec) for rng in streams])

            return self._read(video, sample, tolerant=tolerant), streams

        try:
            return *read(tolerant=False), ""
        except VideoReadError as error:
            with suppress(VideoReadError):
                return *read(tolerant=True), error.reason
            raise


class EvaluationVideos(_ListedVideos):
    """All views of a protocol for each listed video; each file is opened and decoded once.

    Nothing is replaced or left out: an unreadable or damaged file raises VideoReadError. The arguments are
    those of :class:`TrainingVideos` without what only training needs.
    """

    def __getitem__(self, video: int) -> VideoItem:
        started = time.perf_counter()
        work = partial(self._read, video, self.protocol.test_clips)
        clips = run_within(self.time_budget_seconds, self.annotations.path(video), work)
        read = time.perf_counter()
        views = evaluation_views(clips.frames, clips.positions, self.protocol)
        return {
            "views": views,
            "labels": torch.full((len(views),), int(self.annotations.labels[video])),
            "video": video,
            "problems": (),
            "seconds": (read - started, time.perf_counter() - read),
        }


def read_views(path: str | BinaryFile, protocol: EvaluationProtocol) -> UInt8[Tensor, "v 3 t s s"]:
    """The views of one video under a protocol, of a path or of an open binary file.

    Raises:
        VideoReadError: if the file cannot be read.
    """
    clips = _read_clips(path, protocol.test_clips, protocol)
    return evaluation_views(clips.frames, clips.positions, protocol)
