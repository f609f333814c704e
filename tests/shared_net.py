"""A classifier that can be shared: small, random, and described by its configuration."""

from functools import cache

import random_net
from small_protocol import DESCRIPTION

from gcvideo._construction import construct
from gcvideo.inference import TrainedClassifier

NET = {"_target_": "gcvideo.models.slow_resnet", "num_classes": 3, "width": 4}
CONFIG = {
    "model": {"name": "slow", "net": NET},
    "protocol": DESCRIPTION,
    "output_dir": "/home/somebody/runs/first",
    "data": {"_target_": "gcvideo.data.annotated_videos", "root": "/home/somebody/videos"},
    "weights": None,
    "epochs": 3,
    "seed": 7,
}


@cache
def _made():
    return random_net.make_classifier(construct(NET), construct(DESCRIPTION))


def make_shared(**changes):
    """The classifier with other attributes; all share one model."""
    made = _made()
    given = {"classes": made.classes, "protocol": made.protocol, "config": CONFIG}
    return TrainedClassifier(made.model, **(given | changes))
