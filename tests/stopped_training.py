"""A run that was stopped, and how it goes on."""

import os
import signal
from pathlib import Path

import pytest
import torch
from hydra import initialize_config_dir
from lightning import Callback

from gcvideo.command.train import _training as training
from gcvideo.command.train._resuming import resumed_config
from gcvideo.command.train._training import train
from gcvideo.training import TrainingStopped

CONF = Path(__file__).resolve().parent.parent / "conf"


def stop(cfg, after_epochs):
    """Train until an epoch has begun, as SIGTERM stops it."""

    class Stopping(Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.current_epoch == after_epochs:
                os.kill(os.getpid(), signal.SIGTERM)

    build = training.build_trainer

    def build_stopping(cfg):
        trainer = build(cfg)
        trainer.callbacks.append(Stopping())
        return trainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "build_trainer", build_stopping)
        with pytest.raises(TrainingStopped):
            train(cfg)


def resumed(*words):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return resumed_config(list(words))


def saved(folder, name="last"):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def contents(folder):
    """What files hold, but for that of the lock."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: path.read_bytes() for path in files}
