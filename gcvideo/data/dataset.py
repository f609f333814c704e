from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from gcvideo.data.annotation import Annotations
from gcvideo.data.decoding import VideoReader
from gcvideo.data.protocol import EvaluationProtocol
from gcvideo.data.transform import TrainTransform, evaluation_views


class VideoItem(TypedDict):
    """One video with all its views; batches stack items along a new first axis."""

    views: UInt8[Tensor, "v 3 t s s"]
    labels: Int64[Tensor, " v"]
    video: int


class VideoBatch(TypedDict):
    """Items of one loader step."""

    views: UInt8[Tensor, "b v 3 t s s"]
    labels: Int64[Tensor, "b v"]
    video: Int64[Tensor, " b"]


class TrainingVideos(Dataset[VideoItem]):
    """Random views of listed videos, a pure function of (seed, epoch, video, view).

    Each file is opened once per epoch for all its ``clips_per_video`` views, and each wanted frame
    is decoded once.

    Args:
        annotations: videos and labels.
        protocol: clip sampling, T and tau.
        transform: spatial augmentation of a clip.
        clips_per_video: views per item, each with a clip, crop and flip of its own.
        seed: of the whole run.
    """

    def __init__(
        self,
        annotations: Annotations,
        *,
        protocol: EvaluationProtocol,
        transform: TrainTransform,
        clips_per_video: int = 1,
        seed: int = 0,
    ) -> None:
        if clips_per_video < 1:
            raise ValueError(f"clips_per_video is {clips_per_video}; it must be at least 1")
        self.annotations = annotations
        self.protocol = protocol
        self.transform = transform
        self.clips_per_video = clips_per_video
        self.seed = seed

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, key: tuple[int, int]) -> VideoItem:
        """The item of ``(epoch, video)``."""
        epoch, video = key
        streams = [
            np.random.default_rng([self.seed, epoch, video, view])
            for view in range(self.clips_per_video)
        ]
        with VideoReader(self.annotations.path(video)) as reader:
            info = reader.info
            clips = np.stack(
                [
                    self.protocol.sampling.train(info.num_frames, info.fps, self.protocol.spec, rng)
                    for rng in streams
                ]
            )
            distinct, positions = np.unique(clips, return_inverse=True)
            frames = reader.read(distinct)
        label = int(self.annotations.labels[video])
        views, labels = zip(
            *(
                self.transform(frames[clip], label, int(rng.integers(2**63)))
                for clip, rng in zip(positions.reshape(clips.shape), streams, strict=True)
            ),
            strict=True,
        )
        return {"views": torch.stack(views), "labels": torch.tensor(labels), "video": video}


class EvaluationVideos(Dataset[VideoItem]):
    """All views of a protocol for each listed video; each file is opened and decoded once."""

    def __init__(self, annotations: Annotations, *, protocol: EvaluationProtocol) -> None:
        self.annotations = annotations
        self.protocol = protocol

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, video: int) -> VideoItem:
        views = read_views(self.annotations.path(video), self.protocol)
        label = int(self.annotations.labels[video])
        return {"views": views, "labels": torch.full((len(views),), label), "video": video}


def read_views(path: str, protocol: EvaluationProtocol) -> UInt8[Tensor, "v 3 t s s"]:
    """The views of one video file under a protocol.

    Raises:
        VideoReadError: if the file cannot be read.
    """
    with VideoReader(path) as reader:
        info = reader.info
        clips = protocol.sampling.test(info.num_frames, info.fps, protocol.spec, protocol.num_clips)
        distinct, positions = np.unique(clips, return_inverse=True)
        frames = reader.read(distinct)
    return evaluation_views(frames, positions.reshape(clips.shape), protocol)
