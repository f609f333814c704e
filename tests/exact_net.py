"""A classifier whose scores depend on every pixel of every frame, and on the order of frames."""

import numpy as np
import torch
from small_protocol import make_protocol

from gcvideo.data import (
    MMActionDenseSampling,
    MMActionSampling,
    NonLocalSampling,
    PyTorchVideoSampling,
    SlowFastSampling,
    write_video,
)
from gcvideo.inference import TrainedClassifier
from gcvideo.models import ClipClassifier

SAMPLINGS = [
    SlowFastSampling(),
    SlowFastSampling(reader="torchvision"),
    MMActionSampling(),
    MMActionDenseSampling(sample_range=8),
    MMActionSampling(target_fps=15.0),
    NonLocalSampling(),
    PyTorchVideoSampling(),
]


def make_classifier(**changes):
    protocol = make_protocol(**{"val_crop_size": 48} | changes)
    pixels = 3 * protocol.num_frames * 48 * 48
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(pixels, 3))
    model = ClipClassifier(net, mean=protocol.mean, std=protocol.std).eval()
    return TrainedClassifier(model, classes=["a", "b", "c"], protocol=protocol)


def make_video(path, num_frames, fps=30.0, height=48, width=64):
    frames = np.random.default_rng(0).integers(0, 256, (num_frames, height, width, 3), np.uint8)
    # mp4 with h264 is read by time stamps, mkv with ffv1 by counting.
    codec = "libx264" if path.suffix == ".mp4" else "ffv1"
    write_video(path, frames, fps=fps, codec=codec)
    return path
