"""Steps and clips of a training, before it begins."""

import math
from dataclasses import dataclass

import torch
from omegaconf import DictConfig, ListConfig

from gcvideo.command._device import device_of
from gcvideo.data import VideoDataModule
from gcvideo.training import BatchGroups, limited_batches


@dataclass(frozen=True)
class TrainingPlan:
    """Steps and clips of a training, on devices that need not be here."""

    num_devices: int  # over all nodes
    num_epochs: int
    num_batches: int  # per epoch and device
    clips_per_batch: int  # of a device
    accumulated: int  # batches per optimizer step that are asked for
    num_validations: int  # in the whole training
    val_videos: int  # per validation and device

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps; one follows the last batch, complete or not."""
        return self._groups.steps_per_epoch[0]

    @property
    def num_steps(self) -> int:
        return self.num_epochs * self.steps_per_epoch

    @property
    def clips_per_step(self) -> int:
        """Views over all devices and the accumulated batches that an epoch has."""
        return self.clips_per_batch * self.num_devices * self._groups.largest

    @property
    def num_clips(self) -> int:
        """Views seen in all epochs."""
        return self.num_epochs * self.num_batches * self.clips_per_batch * self.num_devices

    @property
    def _groups(self) -> BatchGroups:
        return BatchGroups(self.accumulated, [self.num_batches])


def plan_training(trainer: DictConfig, data: VideoDataModule) -> TrainingPlan:
    """The plan of a trainer's configuration."""
    num_devices = trainer.num_nodes * devices_per_node(trainer)
    num_batches = full_batches(data, num_devices)
    val_videos = math.ceil(len(data.splits.val) / num_devices)
    val_batches = math.ceil(val_videos / data.batch_size)
    limited = limited_batches(val_batches, trainer.limit_val_batches) * data.batch_size
    return TrainingPlan(
        num_devices=num_devices,
        num_epochs=trainer.max_epochs,
        num_batches=limited_batches(num_batches, trainer.limit_train_batches),
        clips_per_batch=data.batch_size * data.clips_per_video,
        accumulated=trainer.accumulate_grad_batches,
        num_validations=trainer.max_epochs // (trainer.check_val_every_n_epoch or 1),
        val_videos=min(val_videos, limited),
    )


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
