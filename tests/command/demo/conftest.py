import numpy as np
import pytest
import torch
from block_net import write_block_checkpoint

from gcvideo.command.demo._answer import Answerer, AnswerSettings
from gcvideo.data import write_video

CLASSES = ("light", "<b>dark</b>", "7 samurai")
_BLOCKS = {
    "nl": "NonLocalBlock",
    "gc": "global_context",
    "se": "squeeze_excitation",
    "bare": None,
}


@pytest.fixture(scope="session")
def nets(tmp_path_factory):
    """Checkpoints of small nets, by their block."""
    folder = tmp_path_factory.mktemp("nets")
    torch.manual_seed(0)
    places = {"classes": CLASSES, "size": 32, "res3": [1], "res4": [1, 5]}
    return {
        name: write_block_checkpoint(folder / f"{name}.safetensors", block, **places)
        for name, block in _BLOCKS.items()
    }


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Videos at 30 frames per second: "short" of half a second, "long" of two that turn from dark to light."""
    folder = tmp_path_factory.mktemp("clips")
    levels = np.where(np.arange(60) < 30, 20, 220)[:, None, None, None]
    frames = np.broadcast_to(levels, (60, 48, 64, 3)).astype(np.uint8).copy()
    frames[:, 10:30, 20:40] = (250, 60, 30)
    videos = {"long": folder / "long.mp4", "short": folder / "short.mp4"}
    write_video(videos["long"], frames)
    write_video(videos["short"], frames[:15])
    return videos


@pytest.fixture
def answerer(nets):
    """Make one for a net."""

    def make(name, **changes):
        settings = {
            "checkpoint": str(nets.get(name, name)),
            "device": "cpu",
            "engine": None,
            "precision": None,
            "packages": ["gcvideo"],
            "num_threads": 1,
            "max_video_seconds": 60,
            "stride_seconds": 0.1,
            "threshold": 0.0,
        }
        return Answerer(AnswerSettings(**(settings | changes)))

    return make
