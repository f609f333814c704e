"""Small fits: as a module for tests, as a script for each rank of two."""

import functools
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from lightning import Callback, LightningDataModule
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy
from quiet_trainer import make_trainer
from torch.utils.data import DataLoader
from two_ranks import fork_into_two

from gcvideo._construction import construct
from gcvideo.models import ClipClassifier
from gcvideo.training import VideoClassifier, WarmupSteps
from gcvideo.training._checkpoint_file import AtomicCheckpointIO

CLASSES = ["a", "b", "c"]
NET = {
    "_target_": "gcvideo.models.slow_resnet",
    "num_classes": 3,
    "width": 4,
    "dropout": 0.0,
    "placement": {
        "_target_": "gcvideo.models.Placement",
        "block": {"_target_": "gcvideo.nn.global_context", "_partial_": True, "ratio": 0.5},
        "res4": [1],
    },
}
PROTOCOL = {
    "_target_": "gcvideo.data.EvaluationProtocol",
    "name": "tiny",
    "sampling": {"_target_": "gcvideo.data.SlowFastSampling"},
    "num_frames": 2,
    "sampling_rate": 2,
    "num_clips": 1,
    "num_crops": 1,
    "short_side": 32,
    "crop_size": 32,
    "val_crop_size": 32,
    "train_crop_size": 32,
    "head": "fcn_prob",
}
OPTIMIZERS = {
    "sgd": functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "adamw": functools.partial(torch.optim.AdamW),
    "plain": functools.partial(torch.optim.SGD),
}
RATES = {"sgd": 0.01, "adamw": 1e-4, "plain": 0.01}


def make_module(optimizer, **changes):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = construct(NET, packages=("gcvideo",))
    given = {
        "classes": CLASSES,
        "optimizer": OPTIMIZERS[optimizer],
        "scheduler": WarmupSteps(milestones=[1]),
        "lr": RATES[optimizer],
        "base_batch_size": 8,
        "views_per_step": 4,
        "weight_decay": 0.1,
        "product": {
            "version": "0",
            "classes": CLASSES,
            "config": {"model": {"net": NET}, "protocol": PROTOCOL},
        },
    }
    model = ClipClassifier(net, mean=[0.45] * 3, std=[0.225] * 3)
    return VideoClassifier(model, **(given | changes))


def make_batch(seed, num_videos=4, num_views=1):
    source = torch.Generator().manual_seed(seed)
    views = torch.randint(
        0, 256, (num_videos, num_views, 3, 2, 32, 32), dtype=torch.uint8, generator=source
    )
    labels = torch.randint(0, 3, (num_videos, 1), generator=source).expand(-1, num_views)
    return {"views": views, "labels": labels, "video": torch.arange(num_videos)}


class Data(LightningDataModule):
    """Two training batches per rank; rank 0 has one validation batch more than the others."""

    def __init__(self, rank):
        super().__init__()
        self.rank = rank

    def train_dataloader(self):
        return self.loader([make_batch(10 * self.rank + number) for number in range(2)])

    def num_batches(self, epoch):
        return 2

    def val_dataloader(self):
        return self.loader([make_batch(100 + self.rank)] * (2 if self.rank == 0 else 1))

    def loader(self, batches):
        return DataLoader(batches, batch_size=None)


class SaveWhenLoaded(Callback):
    def on_train_start(self, trainer, pl_module):
        path = Path(trainer.default_root_dir) / "loaded.ckpt"
        trainer.save_checkpoint(path)


class KeepLogits(Callback):
    """Leaves the logits of the latest validation batch of each rank behind."""

    def on_validation_start(self, trainer, pl_module):
        path = Path(trainer.default_root_dir) / f"logits{trainer.global_rank}.pt"
        self.hook = pl_module.model.register_forward_hook(lambda *given: torch.save(given[2], path))

    def on_validation_end(self, trainer, pl_module):
        self.hook.remove()


def fit(module, folder, strategy, *, epochs=2, start=None, rank=0, callbacks=(), **options):
    """Leaves FOLDER/epoch=N.ckpt behind each epoch, and FOLDER/loaded.ckpt at its start."""
    checkpoint = ModelCheckpoint(
        folder, filename="{epoch}", save_top_k=-1, save_on_train_epoch_end=True
    )
    trainer = make_trainer(
        folder,
        max_epochs=epochs,
        enable_checkpointing=True,
        plugins=[AtomicCheckpointIO()],
        strategy=strategy,
        callbacks=[SaveWhenLoaded(), checkpoint, *callbacks],
        **options,
    )
    trainer.fit(module, datamodule=Data(rank), ckpt_path=start)
    return trainer


def main():
    folder = Path(sys.argv[1])
    dist.init_process_group("gloo")

    def run(name, module, **options):
        strategy = DDPStrategy(broadcast_buffers=False)
        fit(module, folder / name, strategy, devices=2, rank=dist.get_rank(), **options)

    run("plain", make_module("sgd"), callbacks=[KeepLogits()])
    frozen = make_module("plain", freeze_norms=True, weight_decay=0.0)
    run("accumulated", frozen, accumulate_grad_batches=4)
    blocks = {"epochs": 1, "precision": "bf16-mixed", "callbacks": [KeepLogits()]}
    run("blocks", make_module("sgd", train_only="blocks"), **blocks)
    dist.destroy_process_group()


if __name__ == "__main__":
    fork_into_two(main)
