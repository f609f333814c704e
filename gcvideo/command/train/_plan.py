"""Steps and clips of a training, before it begins."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from omegaconf import DictConfig, ListConfig

from gcvideo.command._device import device_of
from gcvideo.data import VideoDataModule
from gcvideo.data.loading._sampler import BatchTurn, EpochBatchSampler, EpochSampler
from gcvideo.training import BatchGroups, limited_batches


@dataclass(frozen=True)
class TrainingPlan:
    """Steps and clips of a training, on devices that need not be here."""

    num_devices: int  # over all nodes
    epochs: Sequence[
        Mapping[BatchTurn, int]
    ]  # batches of each epoch per device, by videos and shape
    batch_size: int  # videos of a batch of the base shape
    clips_per_video: int
    accumulated: int  # batches per optimizer step that are asked for
    num_validations: int  # in the whole training
    val_videos: int  # per validation and device
    statistics_batches: int = 0  # for batch norm before each validation, per device

    @property
    def num_epochs(self) -> int:
        return len(self.epochs)

    @property
    def batches(self) -> Mapping[BatchTurn, int]:
        """Those of the whole training per device, by videos and shape."""
        return sum((Counter(batches) for batches in self.epochs), Counter[BatchTurn]())

    @property
    def clips_per_batch(self) -> int:
        """Views of a batch of the base shape."""
        return self.batch_size * self.clips_per_video

    @property
    def num_steps(self) -> int:
        """Optimizer steps; one follows the last batch of an epoch, complete or not."""
        return sum(self._groups.steps_per_epoch)

    @property
    def steps_per_epoch(self) -> str:
        """Such as "1,200", or "18 to 60" where epochs differ."""
        steps = self._groups.steps_per_epoch
        few, many = min(steps), max(steps)
        return f"{few:,}" if few == many else f"{few:,} to {many:,}"

    @property
    def clips_per_step(self) -> int:
        """Views of the base shape over all devices and the accumulated batches that an epoch has."""
        return self.clips_per_batch * self.num_devices * self._groups.largest

    @property
    def num_clips(self) -> int:
        """Views seen in all epochs."""
        videos = sum(videos * count for (videos, _), count in self.batches.items())
        return videos * self.clips_per_video * self.num_devices

    @property
    def _groups(self) -> BatchGroups:
        return BatchGroups(self.accumulated, [sum(epoch.values()) for epoch in self.epochs])


def plan_training(
    trainer: DictConfig, data: VideoDataModule, *, statistics_batches: int = 0
) -> TrainingPlan:
    """The plan of a trainer's configuration; ``statistics_batches`` are those of precise batch norm."""
    num_devices = trainer.num_nodes * devices_per_node(trainer)
    num_batches = full_batches(data, num_devices)
    val_videos = math.ceil(len(data.splits.val) / num_devices)
    val_batches = math.ceil(val_videos / data.batch_size)
    limited = limited_batches(val_batches, trainer.limit_val_batches) * data.batch_size
    return TrainingPlan(
        num_devices=num_devices,
        epochs=list(_epochs(trainer, data, num_devices)),
        batch_size=data.batch_size,
        clips_per_video=data.clips_per_video,
        accumulated=trainer.accumulate_grad_batches,
        num_validations=trainer.max_epochs // (trainer.check_val_every_n_epoch or 1),
        val_videos=min(val_videos, limited),
        statistics_batches=min(statistics_batches, num_batches),
    )


def _epochs(
    trainer: DictConfig, data: VideoDataModule, num_devices: int
) -> Iterator[Mapping[BatchTurn, int]]:
    """Batches of each epoch of a device."""
    videos = EpochSampler(len(data.splits.train), world_size=num_devices)
    batches = EpochBatchSampler(videos, data.batch_size, data.multigrid)
    for epoch in range(trainer.max_epochs):
        videos.set_epoch(epoch)
        turns, number = batches.turns(), limited_batches(len(batches), trainer.limit_train_batches)
        cycles, rest = divmod(number, len(turns))
        counts = Counter[BatchTurn]()
        for index, turn in enumerate(turns):  # two of them may be the same
            counts[turn] += cycles + (index < rest)
        yield +counts


def full_batches(data: VideoDataModule, num_devices: int) -> int:
    """Batches of the base shape in an epoch, per device; refuses to have none."""
    num_videos = len(data.splits.train)
    num_batches = num_videos // num_devices // data.batch_size
    if num_batches < 1:
        devices = f"{num_devices} devices" if num_devices > 1 else "1 device"
        raise ValueError(
            f"batch_size is {data.batch_size} but there are only {num_videos} training videos for "
            f"{devices}, each of which needs a full batch; lower batch_size, trainer.devices or "
            "trainer.num_nodes"
        )
    return num_batches


def devices_per_node(trainer: DictConfig) -> int:
    """As configured, be they here or not; "auto" and -1 are those of this machine."""
    devices = trainer.devices
    if isinstance(devices, list | ListConfig):
        return len(devices)
    if isinstance(devices, str) and "," in devices:
        return len([index for index in devices.split(",") if index.strip()])
    if devices in ("auto", "-1", -1):
        return torch.cuda.device_count() if device_of(trainer) == "cuda" else 1
    return int(devices)
