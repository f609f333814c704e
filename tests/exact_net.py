"""A classifier whose scores depend on every pixel of every frame, and on the order of frames."""

import torch
from small_protocol import make_protocol

from gcvideo.data import (
    MMActionDenseSampling,
    MMActionSampling,
    NonLocalSampling,
    PyTorchVideoSampling,
    SlowFastSampling,
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
