"""Loaders of the videos of 48 x 64 pixels that tests make."""

from small_protocol import make_protocol
from torchvision.transforms import v2

from gcvideo.data import TrainTransform, VideoDataModule, VideoSplits, annotated_videos


def random_crop(size=32):
    return TrainTransform([v2.RandomCrop(size)])


def make_module(source, **changes):
    """A data module of splits or of a folder of videos, without workers unless they are asked for."""
    splits = source if isinstance(source, VideoSplits) else annotated_videos(root=str(source))
    given = {"protocol": make_protocol(), "transform": random_crop(), "batch_size": 2}
    return VideoDataModule(splits, **(given | {"num_workers": 0} | changes))
