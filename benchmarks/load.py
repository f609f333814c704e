"""Batches to load: ours, and the same ones with pytorchvideo."""

import argparse
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from comparison import use_one_core
from footage import make_video
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, SequentialSampler
from torchvision.transforms import v2

from gcvideo.data import (
    Annotations,
    EpochSampler,
    EvaluationProtocol,
    MMActionSampling,
    TrainingVideos,
    TrainTransform,
    VideoItem,
    VideoReader,
)

NUM_FRAMES, FPS, SEED = 8, 30, 0


@dataclass(frozen=True)
class Load:
    """What is loaded.

    Args:
        annotations: videos; the same file many times.
        protocol: 8x8 clips.
        num_video_frames: of the file.
        batch_size: videos.
        short_side: pixels that clips are resized to, 9/8 of their own.
        crop_size: pixels of the centre crop.
    """

    annotations: Annotations
    protocol: EvaluationProtocol
    num_video_frames: int
    batch_size: int
    short_side: int
    crop_size: int

    @classmethod
    def make(cls, folder: Path, options: argparse.Namespace, gop_size: int) -> "Load":
        """One made file that is listed as many videos; each draws clips of its own."""
        path = folder / f"gop{gop_size}.mp4"
        make_video(path, size=options.size, seconds=options.seconds, gop_size=gop_size)
        with VideoReader(path) as reader:
            num_video_frames = reader.info.num_frames
        rate = min(8, (num_video_frames - 1) // (NUM_FRAMES - 1))
        short_side = min(options.size) * 9 // 8
        crop_size = short_side * 7 // 9
        protocol = EvaluationProtocol(
            name="benchmark",
            sampling=MMActionSampling(),
            num_frames=NUM_FRAMES,
            sampling_rate=rate,
            short_side=short_side,
            crop_size=crop_size,
            val_crop_size=crop_size,
        )
        labels = np.arange(options.videos, dtype=np.int64) % 2
        paths = [path.name] * options.videos
        videos = Annotations(paths, labels, ("even", "odd"), "benchmark", str(folder))
        return cls(videos, protocol, num_video_frames, options.batch_size, short_side, crop_size)

    def ours(self, num_workers: int, clips_per_video: int = 1) -> DataLoader[VideoItem]:
        """Our loader as in training, but without chance in resize and crop."""
        steps = [v2.Resize(self.short_side, antialias=False), v2.CenterCrop(self.crop_size)]
        videos = self.annotations
        if clips_per_video > 1:
            videos = videos.subset(range(len(videos) // clips_per_video))
        dataset = TrainingVideos(
            videos,
            protocol=self.protocol,
            transform=TrainTransform(steps, flip_prob=0),
            clips_per_video=clips_per_video,
            seed=SEED,
        )
        sampler = EpochSampler(len(dataset), seed=SEED)
        return DataLoader(
            dataset,
            batch_size=max(self.batch_size // clips_per_video, 1),
            sampler=sampler,
            num_workers=num_workers,
            worker_init_fn=use_one_core,
        )

    def theirs(self, num_workers: int) -> DataLoader[dict[str, Any]]:
        """The data set of pytorchvideo with the same clips, resize and crop, as float32."""
        labeled = import_module("pytorchvideo.data").LabeledVideoDataset
        videos = [
            (self.annotations.path(video), {"number": video})
            for video in range(len(self.annotations))
        ]
        dataset = labeled(
            videos,
            _SameClips(self),
            video_sampler=SequentialSampler,
            transform=_SameTransform(self.short_side, self.crop_size),
            decode_audio=False,
            decoder="pyav",
        )
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            num_workers=num_workers,
            worker_init_fn=use_one_core,
        )


@dataclass(frozen=True)
class _SameClips:
    """A clip sampler of pytorchvideo that draws the clips of our first epoch."""

    load: Load

    def __call__(self, last: float, duration: float, annotation: dict[str, Any]) -> tuple:
        del last, duration
        rng = np.random.default_rng([SEED, 0, annotation["number"], 0])
        protocol = self.load.protocol
        indices = protocol.sampling.train(self.load.num_video_frames, FPS, protocol.spec, rng)
        start, end = Fraction(int(indices[0]), FPS), Fraction(int(indices[-1]) + 1, FPS)
        return start, end, 0, 0, True

    def reset(self) -> None:
        """Nothing is remembered."""


@dataclass(frozen=True)
class _SameTransform:
    """Even subsampling, short side and centre crop as pytorchvideo's, which cannot be imported.

    Source: pytorchvideo, transforms/functional.py; it wants a module that torchvision dropped.
    """

    short_side: int
    crop_size: int

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        clip = sample["video"]
        kept = torch.linspace(0, clip.shape[1] - 1, NUM_FRAMES).round().long()
        clip = torch.index_select(clip, 1, kept)
        height, width = clip.shape[2:]
        scale = self.short_side / min(height, width)
        size = int(height * scale), int(width * scale)
        clip = interpolate(clip, size=size, mode="bilinear", align_corners=False)
        clip = v2.functional.center_crop(clip, [self.crop_size, self.crop_size])
        return {"clip": clip, "video": sample["number"]}
