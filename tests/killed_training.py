"""Trains a tiny net in processes that kill themselves; run as a script by the tests of resuming.

python killed_training.py DATA FOLDER SIGNAL NUM_KILLS [OVERRIDE ...]
"""

import json
import os
import random
import signal
import sys
import traceback
from pathlib import Path

import torch
from gcvideo_runs import TINY
from hydra import compose, initialize_config_dir
from lightning import Callback

import gcvideo.command.train._training as training
from gcvideo.command.train._resuming import resumed_config
from gcvideo.training import TrainingStopped

CONF = Path(__file__).resolve().parent.parent / "conf"
HOOKS = (
    "on_train_batch_start",
    "on_before_backward",
    "on_before_zero_grad",
    "on_train_batch_end",
    "on_validation_start",
    "on_validation_batch_end",
    "on_validation_end",
    "on_train_epoch_end",
    "on_save_checkpoint",
)


class Killer(Callback):
    """Ends the process the n-th time that a hook is called, and notes which videos are seen."""

    def __init__(self, journal, hook=None, countdown=0, signal_number=signal.SIGKILL):
        self.journal = journal
        self.countdown = countdown
        self.signal_number = signal_number
        if hook:
            setattr(self, hook, self._count)

    def _count(self, *args, **kwargs):
        self.countdown -= 1
        if self.countdown == 0:
            os.killpg(0, self.signal_number)  # its loader processes too, as a terminal does

    def on_after_backward(self, trainer, pl_module):
        row = [trainer.current_epoch, trainer.fit_loop.epoch_loop.batch_idx, pl_module.seen]
        with self.journal.open("a") as file:
            file.write(json.dumps(row) + "\n")


def overrides(data, folder, more):
    given = [*TINY, "model=c2d_gc", "data=folder", f"data.root={data}", f"output_dir={folder}"]
    return [
        *given,
        "epochs=3",
        "batch_size=2",
        "dropout=0.5",
        "~logger.tensorboard",
        *more,
    ]


def config(data, folder, more, num_workers=0):
    if (folder / "config.yaml").is_file():
        return resumed_config([f"resume={folder}", f"num_workers={num_workers}"])
    return compose("train", overrides(data, folder, more))


def train_in_child(cfg, killer):
    """Exit status, negative if the child was killed."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    os.setpgrp()
    try:
        build = training.build_trainer

        def build_with_killer(cfg):
            trainer = build(cfg)
            trainer.callbacks.append(killer)
            return trainer

        training.build_trainer = build_with_killer
        step = training.VideoClassifier.training_step

        def noting_step(self, batch, batch_index):
            self.seen = batch["video"].tolist()
            return step(self, batch, batch_index)

        training.VideoClassifier.training_step = noting_step
        training.train(cfg)
        status = 0
    except TrainingStopped as stopped:
        status = stopped.exit_status
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def main(data, folder, signal_name, num_kills, *more):
    torch.set_num_threads(1)
    folder, signal_number = Path(folder), signal.Signals[signal_name]
    rng = random.Random(0)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        whole, killed, statuses = folder / "whole", folder / "killed", []
        assert train_in_child(config(data, whole, more), Killer(folder / "whole.jsonl")) == 0
        for number in range(int(num_kills)):
            journal = folder / f"killed_{number:02d}.jsonl"
            hook = HOOKS[number % len(HOOKS)]
            killer = Killer(journal, hook, rng.randint(1, 3), signal_number)
            # As many loader processes as the run began with, then more, then fewer.
            cfg = config(data, killed, more, num_workers=(0, 2, 1)[number % 3])
            statuses.append(train_in_child(cfg, killer))
        journal = folder / f"killed_{int(num_kills):02d}.jsonl"
        statuses.append(train_in_child(config(data, killed, more), Killer(journal)))
    (folder / "statuses.json").write_text(json.dumps(statuses))


if __name__ == "__main__":
    main(*sys.argv[1:])
