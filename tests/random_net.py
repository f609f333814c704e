"""Classifiers with random weights in which every weight and every statistic matters."""

import torch
from torch import nn

from gcvideo.data import EvaluationProtocol, SlowFastSampling
from gcvideo.inference import TrainedClassifier, configure_head
from gcvideo.models import ClipClassifier, Head


def make_protocol(**changes):
    given = {
        "name": "tiny",
        "sampling": SlowFastSampling(),
        "num_frames": 4,
        "sampling_rate": 2,
        "num_clips": 3,
        "short_side": 64,
        "crop_size": 64,
        "val_crop_size": 48,
        "train_crop_size": 32,
        "head": "fcn_prob",
    }
    return EvaluationProtocol(**{**given, **changes})


def randomize(model):
    """Every weight and statistic matters: nothing is at its start of zero or one."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm3d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
        if isinstance(module, Head):
            nn.init.normal_(module.proj.weight, std=0.3)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, mean=0.5, std=0.5)
        elif not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model.eval()


def make_classifier(net, protocol=None, **changes):
    protocol = protocol or make_protocol(**changes)
    model = ClipClassifier(
        net,
        mean=[0.4, 0.5, 0.6],
        std=[0.2, 0.25, 0.3],
        normalization=protocol.normalization,
    )
    configure_head(randomize(model), protocol)
    return TrainedClassifier(model, classes=["left", "à droite", "c"], protocol=protocol)


def random_views(*leading, size=32):
    """Views of noise, 4 frames each, always the same."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(
        0, 256, (*leading, 3, 4, size, size), dtype=torch.uint8, generator=generator
    )


@torch.no_grad()
def magnify_differences(classifier, video, factor=1):
    """A random net hardly tells one video from another: magnify what is not common to them."""
    head = classifier.model.net.blocks[-1].proj
    nn.init.zeros_(head.bias)
    common = classifier.scores(video).log()
    head.weight.mul_(factor)
    head.bias.copy_(-factor * common)
