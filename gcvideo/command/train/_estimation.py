"""What a training will take: steps, memory, hours."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from gcvideo._duration import duration, step_duration
from gcvideo.command.train._loading_time import LoadingTime
from gcvideo.command.train._plan import TrainingPlan
from gcvideo.command.train._step_time import StepTime
from gcvideo.data.loading._multigrid import ClipShape
from gcvideo.models import Cost
from gcvideo.models._memory import TrainingMemory


@dataclass(frozen=True)
class Estimate:
    """What a training will take."""

    plan: TrainingPlan
    learning_rate: float  # after linear scaling
    cost: Cost  # of the net for one view
    memory: TrainingMemory  # of one device
    step: StepTime  # of one batch on one device, without the exchange of gradients
    loading: LoadingTime  # of a training video on one core
    num_workers: int  # per device
    val_area: float  # of a validation view / that of a training view
    forward_seconds: float  # of a training view in the precision of validation
    # MACs of a clip of multigrid / those of one of the base shape, which is None here
    relative_macs: Mapping[ClipShape | None, float] = field(default_factory=lambda: {None: 1.0})

    @property
    def training_flops(self) -> float:
        """Two per MAC, the backward pass as two forward passes."""
        batches = self.plan.batches.items()
        videos = sum(n * videos * self.relative_macs[clip] for (videos, clip), n in batches)
        return 6.0 * self.cost.macs * videos * self.plan.clips_per_video * self.plan.num_devices

    @property
    def data_seconds(self) -> float:
        """Time in which the workers of a device, or its own process, load a batch of the base shape."""
        return self._loading_seconds(self.plan.batch_size)

    @property
    def cores_needed(self) -> float:
        """Cores per device that keep it busy: seconds per clip x clips per second of the device."""
        return self.loading.seconds * self.plan.batch_size / self.step.seconds

    @property
    def training_hours(self) -> float:
        """Without validation, but with the batches that give batch norm its statistics before it."""
        plan = self.plan
        seconds = 0.0
        for (videos, clip), count in plan.batches.items():
            size = videos / plan.batch_size * self.relative_macs[clip]
            seconds += count * self._together(
                size * self.step.seconds, self._loading_seconds(videos)
            )
        forward_seconds = self.forward_seconds * plan.clips_per_batch
        statistics = plan.num_validations * plan.statistics_batches
        return (seconds + statistics * self._together(forward_seconds, self.data_seconds)) / 3600

    @property
    def validation_hours(self) -> float:
        """Single views of the validation videos."""
        return self.scoring_hours(
            self.plan.num_validations * self.plan.val_videos, area=self.val_area
        )

    def scoring_hours(self, num_views: int, *, area: float, num_passes: int = 1) -> float:
        """Hours of ``num_passes`` forward passes over each view, which is read once.

        ``area`` is that of a view / that of a training view.
        """
        view_seconds = area * self.forward_seconds
        data_seconds = self._loading_seconds(1)
        return num_views * self._together(num_passes * view_seconds, data_seconds) / 3600

    @property
    def hours(self) -> float:
        return self.training_hours + self.validation_hours

    @property
    def device_hours(self) -> float:
        return self.hours * self.plan.num_devices

    @property
    def pace(self) -> str:
        """The slower one of "data" and "device", for which the other waits."""
        return "data" if self.data_seconds > self.step.seconds else "device"

    def _loading_seconds(self, num_videos: int) -> float:
        return self.loading.seconds * num_videos / max(1, self.num_workers)

    def _together(self, device_seconds: float, data_seconds: float) -> float:
        """Workers load while the device computes; without them, one comes after the other."""
        if self.num_workers:
            return max(device_seconds, data_seconds)
        return device_seconds + data_seconds

    def table(self) -> Table:
        """A table to be printed."""
        plan, memory = self.plan, self.memory
        cores = math.ceil(self.cores_needed)
        pace = "the data" if self.pace == "data" else "the device"
        if self.loading.kept_bytes:
            pace += "; frames stay in memory once they are read"
        elif self.pace == "data":
            pace += f"; num_workers={cores}, each with a core of its own, would keep up"
        elif not self.num_workers:
            pace += ", which waits for the data of each step: there are no worker processes"
        average = f"average {memory_size(memory.average)}, " if memory.average else ""
        # Of one device, they are the time.
        device_hours = f": {self.device_hours:.3g} device hours" if plan.num_devices > 1 else ""
        rows = {
            "devices": f"{plan.num_devices}",
            "steps": f"{plan.num_steps:,}: {plan.num_epochs} epochs of {plan.steps_per_epoch}",
            "clips": f"{plan.num_clips:,}: {plan.clips_per_step:,} per step",
            "learning rate": f"{self.learning_rate:g}",
            "model": f"{self.cost}",
            "training": f"{self.training_flops:.2e} FLOPs, 3 x forward",
            "memory": f"about {memory_size(memory.total)} per device: weights {memory_size(memory.weights)}, "
            f"gradients {memory_size(memory.gradients)}, optimizer {memory_size(memory.optimizer_state)}, "
            f"activations {memory_size(memory.activations)}, views {memory_size(memory.views)}, "
            f"{average}"
            f"work space {memory_size(memory.work_space) if memory.work_space else 'not known'}",
            "step": f"{step_duration(self.step.seconds)}, {self.step.source}; exchange between devices not "
            "included",
            "data": f"{step_duration(self.loading.seconds)} per video on a core of this machine, "
            f"{step_duration(self.data_seconds)} per step with {self.num_workers} workers per device; "
            f"cores needed per device: {cores}",
            "time": f"{duration(3600 * self.hours)}, {duration(3600 * self.validation_hours)} of it "
            f"validation{device_hours}",
            "pace set by": pace,
        }
        if self.loading.kept_bytes:
            rows["memory"] += f"; frames of videos up to {memory_size(self.loading.kept_bytes)}"
        table = Table(show_header=False, title="estimate", title_justify="left")
        for row in rows.items():
            table.add_row(*row)
        return table


def given_step_seconds(value: Any) -> float | None:
    """The seconds of a step that ``estimate`` gives; None: they are to be measured."""
    if value is True:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(
            f"estimate is {value!r}; give true to have a step measured here, or its seconds measured "
            "elsewhere, such as estimate=0.35"
        )
    return float(value)


def memory_size(num_bytes: int) -> str:
    """In GiB, or MiB where it is less than one."""
    return f"{num_bytes / 2**30:.2f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.1f} MiB"
