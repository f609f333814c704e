"""A small fit with batch norms: as a module for tests, as a script for each rank of two."""

import argparse
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from lightning import LightningDataModule, LightningModule
from lightning.pytorch.strategies import DDPStrategy
from quiet_trainer import make_trainer
from torch import nn
from torch.utils.data import DataLoader
from two_ranks import fork_into_two

from gcvideo.nn._batch_norm import group_batch_norm
from gcvideo.training._batch_norm import BatchNormGroups
from gcvideo.training._precise_batch_norm import PreciseBatchNorm
from gcvideo.training._rank_exchange import average_statistics
from gcvideo.training._weight_average import WeightAverage

NUM_BATCHES = 3


class Rows(nn.Module):
    """BatchNorm1d over the positions of clips, as in a non-local block."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x):
        rows = x.flatten(2).mT
        return self.norm(rows.flatten(0, 1)).view_as(rows).mT.reshape(x.shape)


class Fit(LightningModule):
    def __init__(self, lr, dropout=0.0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.net = nn.Sequential(
                nn.Conv3d(3, 4, 3),
                nn.BatchNorm3d(4),
                nn.ReLU(),
                nn.Dropout(dropout),
                Rows(),
                nn.Conv3d(4, 4, 2),
                nn.BatchNorm3d(4),
                nn.Flatten(),
                nn.LazyLinear(2),
            )
            self.net.eval()(torch.zeros(1, 3, 4, 6, 6))
            self.net.train()
        self.lr = lr

    def forward(self, views):
        return self.net(views)

    def training_step(self, batch, _):
        return F.cross_entropy(self(batch["views"]), batch["labels"])

    def validation_step(self, batch, _):
        self(batch["views"])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)


class Data(LightningDataModule):
    """Batches of 8 clips, of which each of ``num_ranks`` gets its part."""

    def __init__(self, rank=0, num_ranks=1):
        super().__init__()
        self.rank, self.num_ranks = rank, num_ranks
        self.asked = []

    def train_dataloader(self):
        return self.part(self.batches(seed=0))

    def val_dataloader(self):
        return self.part(self.batches(seed=1))

    def statistics_dataloader(self, epoch, num_batches):
        self.asked.append((epoch, num_batches))
        return self.part(self.batches(seed=2 + epoch, num_batches=num_batches))

    def batches(self, seed, num_batches=NUM_BATCHES):
        source = torch.Generator().manual_seed(seed)
        return [
            {
                "views": torch.randn(8, 3, 4, 6, 6, generator=source) * (1 + number) + number,
                "labels": torch.randint(0, 2, (8,), generator=source),
            }
            for number in range(num_batches)
        ]

    def part(self, batches):
        parts = [
            {name: values.chunk(self.num_ranks)[self.rank] for name, values in batch.items()}
            for batch in batches
        ]
        return DataLoader(parts, batch_size=None)


def fit(module, data, folder, **options):
    trainer = make_trainer(folder, **({"max_epochs": 2, "num_sanity_val_steps": 1} | options))
    trainer.fit(module, datamodule=data)
    return trainer


def unequal_clips():
    source = torch.Generator().manual_seed(7)
    return torch.randn(8, 5, 2, 3, 3, generator=source) * 3 + 2


def uneven_loss(y, weights):
    return (y * weights).sum() + y.pow(3).sum()


def reference_norm(momentum=0.1):
    norm = nn.BatchNorm3d(5, momentum=momentum)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, 5))
        norm.bias.copy_(torch.linspace(-1, 1, 5))
    return norm


def normalised(rank):
    """Batches of 5 and 3 clips as one group, twice."""
    norm = reference_norm()
    group_batch_norm(norm, process_group=dist.group.WORLD)
    x = unequal_clips().split([5, 3])[rank].clone().requires_grad_()
    weights = torch.linspace(-1, 1, unequal_clips().numel()).view(8, 5, 2, 3, 3)
    norm(x.detach() * 2)
    y = norm(x)
    uneven_loss(y, weights.split([5, 3])[rank]).backward()
    return {
        "output": y.detach(),
        "input": x.grad,
        "weight": norm.weight.grad,
        "bias": norm.bias.grad,
        "state": norm.state_dict(),
    }


def ranked_fit(rank, folder, *, group_size, lr):
    module = Fit(lr)
    during = []
    start = module.on_train_epoch_start

    def watched():
        during.extend(type(m).__name__ for m in module.modules() if "Norm" in type(m).__name__)
        start()

    module.on_train_epoch_start = watched
    fit(
        module,
        Data(rank, num_ranks=2),
        folder,
        strategy="ddp",
        devices=2,
        plugins=[BatchNormGroups(group_size)],
        callbacks=[PreciseBatchNorm(2)],
    )
    after = [type(m).__name__ for m in module.modules() if "Norm" in type(m).__name__]
    return {"state": module.state_dict(), "during": during[:3], "after": after}


def running(net):
    """Running statistics, those of a frozen norm last."""
    return {name: v.clone() for name, v in net.state_dict().items() if "running_" in name}


class Averaged(Fit):
    """Takes the mean of local statistics before each validation, and keeps what it was of."""

    def __init__(self, lr):
        super().__init__(lr)
        self.frozen = nn.BatchNorm3d(3).eval()
        self.frozen.running_mean.copy_(torch.tensor([0.1, 1e-3, 7.7]))
        self.seen = []

    def training_step(self, batch, _):
        self.frozen.eval()
        return super().training_step(batch | {"views": self.frozen(batch["views"])}, _)

    def on_validation_start(self):
        nets = [self, *(c._average_model.module for c in self.trainer.callbacks)]
        before = [running(net) for net in nets]
        average_statistics(self.trainer)
        self.seen.append((before, [running(net) for net in nets]))


def averaged_fit(rank, folder, **options):
    module = Averaged(lr=0.1)
    average = WeightAverage(decay=0.5)
    trainer = fit(
        module,
        Data(rank, num_ranks=2),
        folder,
        strategy=DDPStrategy(broadcast_buffers=False),
        devices=2,
        callbacks=[average],
        num_sanity_val_steps=0,
        **options,
    )
    average_statistics(trainer)
    return {"seen": module.seen, "end": running(module)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    results = {
        "norm": normalised(rank),
        "together": ranked_fit(rank, folder, group_size=None, lr=0.1),
        "apart": ranked_fit(rank, folder, group_size=1, lr=0.0),
        "averaged": averaged_fit(rank, folder),
        "averaged once": averaged_fit(rank, folder, limit_val_batches=0),
    }
    torch.save(results, folder / f"rank{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    fork_into_two(main)
