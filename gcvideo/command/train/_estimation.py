import copy
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any

import torch
from omegaconf import DictConfig
from rich.table import Table
from torch.optim import Optimizer

from gcvideo._console import Console
from gcvideo.command._device import device_of
from gcvideo.command._duration import duration
from gcvideo.command.train._plan import TrainingPlan, plan_training
from gcvideo.command.train._step_time import Precision, StepTime, time_step, time_view
from gcvideo.data import VideoDataModule
from gcvideo.models import ClipClassifier, Cost, count_cost
from gcvideo.models._memory import TrainingMemory, count_memory
from gcvideo.training import VideoClassifier, parameter_groups, scaled_lr

_NUM_SAMPLES = 16


@dataclass(frozen=True)
class Estimate:
    """What a training will take.

    Args:
        plan: steps and clips.
        learning_rate: base rate after linear scaling.
        cost: of the net for one view.
        memory: of one device.
        step: of one batch on one device, without the exchange of gradients.
        video_seconds: that decoding and transforming a training video takes on one core.
        batch_size: videos per batch.
        num_workers: per device.
        val_area: of a validation view / that of a training view.
        forward_seconds: of a training view in the precision of validation.
    """

    plan: TrainingPlan
    learning_rate: float
    cost: Cost
    memory: TrainingMemory
    step: StepTime
    video_seconds: float
    batch_size: int
    num_workers: int
    val_area: float
    forward_seconds: float

    @property
    def training_flops(self) -> float:
        """Two per MAC, the backward pass as two forward passes."""
        return 3.0 * 2 * self.cost.macs * self.plan.num_clips

    @property
    def data_seconds(self) -> float:
        """In which the workers of a device, or its own process, load a batch."""
        return self.video_seconds * self.batch_size / max(1, self.num_workers)

    @property
    def cores_needed(self) -> float:
        """Per device, so that it need not wait: seconds per clip x clips per second of the device."""
        return self.video_seconds * self.batch_size / self.step.seconds

    @property
    def training_hours(self) -> float:
        """Without validation."""
        batches = self.plan.num_epochs * self.plan.num_batches
        return batches * self._together(self.step.seconds, self.data_seconds) / 3600

    @property
    def validation_hours(self) -> float:
        """Single views of the validation videos."""
        return self.scoring_hours(
            self.plan.num_validations * self.plan.val_videos, area=self.val_area
        )

    def scoring_hours(self, num_views: int, *, area: float, num_passes: int = 1) -> float:
        """Of forward passes over views.

        Args:
            num_views: of all videos.
            area: of a view / that of a training view.
            num_passes: of each view, which is read once.
        """
        view_seconds = area * self.forward_seconds
        data_seconds = self.data_seconds / self.batch_size
        return num_views * self._together(num_passes * view_seconds, data_seconds) / 3600

    @property
    def hours(self) -> float:
        return self.training_hours + self.validation_hours

    @property
    def device_hours(self) -> float:
        return self.hours * self.plan.num_devices

    @property
    def pace(self) -> str:
        """What the other waits for: "data" or "device"."""
        return "data" if self.data_seconds > self.step.seconds else "device"

    def _together(self, device_seconds: float, data_seconds: float) -> float:
        """Workers load while the device computes; without them, one comes after the other."""
        if self.num_workers:
            return max(device_seconds, data_seconds)
        return device_seconds + data_seconds

    def table(self) -> Table:
        """For the eyes."""
        plan, memory = self.plan, self.memory
        cores = math.ceil(self.cores_needed)
        pace = "the data" if self.pace == "data" else "the device"
        if self.pace == "data":
            pace += f"; num_workers={cores}, each with a core of its own, would keep up"
        elif not self.num_workers:
            pace += ", which waits for the data of each step: there are no worker processes"
        rows = {
            "devices": f"{plan.num_devices}",
            "steps": f"{plan.num_steps:,}: {plan.num_epochs} epochs of {plan.steps_per_epoch:,}",
            "clips": f"{plan.num_clips:,}: {plan.clips_per_step:,} per step",
            "learning rate": f"{self.learning_rate:g}",
            "model": f"{self.cost}",
            "training": f"{self.training_flops:.2e} FLOPs, 3 x forward",
            "memory": f"about {memory_size(memory.total)} per device: weights {memory_size(memory.weights)}, "
            f"gradients {memory_size(memory.gradients)}, optimizer {memory_size(memory.optimizer_state)}, "
            f"activations {memory_size(memory.activations)}, views {memory_size(memory.views)}",
            "step": f"{self.step.seconds:.3g} s, {self.step.source}; exchange between devices not "
            "included",
            "data": f"{self.video_seconds:.3g} s per video on a core of this machine, "
            f"{self.data_seconds:.3g} s per step with {self.num_workers} workers per device; "
            f"cores needed per device: {cores}",
            "time": f"{duration(3600 * self.hours)}, {duration(3600 * self.validation_hours)} of it "
            f"validation: {self.device_hours:.4g} device hours",
            "pace set by": pace,
        }
        table = Table(show_header=False, title="estimate", title_justify="left")
        for row in rows.items():
            table.add_row(*row)
        return table


def estimate(cfg: DictConfig, data: VideoDataModule, module: VideoClassifier) -> Estimate:
    """:func:`measure`, and its table on the screen."""
    result = measure(cfg, data, module)
    Console().print(result.table())
    return result


def measure(
    cfg: DictConfig,
    data: VideoDataModule,
    module: VideoClassifier,
    *,
    video_seconds: float | None = None,
) -> Estimate:
    """What the training of a configuration will take; nothing is written.

    Steps, clips, weights and optimizer state are exact; activations are those that autograd keeps;
    times are measured here, on a step and on up to 16 training videos.

    Args:
        cfg: composed from ``conf/train.yaml``; ``estimate`` is true, or the seconds of a step that
            were measured elsewhere.
        data: of the training.
        module: left as it is.
        video_seconds: of a training video on one core; None: measured.

    Raises:
        ValueError: if ``estimate`` is no duration, or no device gets a full batch.
    """
    given = given_step_seconds(cfg.estimate)
    precision = Precision.of_trainer(cfg.trainer.precision)
    plan = plan_training(cfg.trainer, data)
    cost = count_cost(module.model.net, cfg.num_frames, cfg.crop_size)
    rate = scaled_lr(module.lr, module.base_batch_size, plan.clips_per_step)

    module = copy.deepcopy(module).train()
    for norm in module.frozen:
        norm.eval()
    model = module.model.to(precision.weights)
    make_optimizer = partial(_make_optimizer, module, rate)
    memory = count_memory(
        model,
        make_optimizer=make_optimizer,
        num_clips=plan.clips_per_batch,
        num_frames=cfg.num_frames,
        crop_size=cfg.crop_size,
        autocast=precision.autocast,
        in_buckets=plan.num_devices > 1,
    )
    val_crop_size = data.protocol.single_view().crop_size
    val_area = (val_crop_size / cfg.crop_size) ** 2
    if given is None:
        model.to(device_of(cfg.trainer))
        step = time_step(
            model,
            make_optimizer(model),
            num_clips=plan.clips_per_batch,
            num_frames=cfg.num_frames,
            crop_size=cfg.crop_size,
            autocast=precision.autocast,
            # Work space and gradients of activations come on top of what is kept.
            bytes_per_clip=2 * memory.total // plan.clips_per_batch,
        )
        view_seconds = time_view(
            model, num_frames=cfg.num_frames, crop_size=val_crop_size, dtype=module.precision
        )
        forward_seconds = view_seconds / val_area
    else:
        step = StepTime(given, "as given")
        # A forward pass is a third of a step, in one precision.
        forward_seconds = step.seconds / plan.clips_per_batch / 3
    return Estimate(
        plan=plan,
        learning_rate=rate,
        cost=cost,
        memory=memory,
        step=step,
        video_seconds=_time_videos(data) if video_seconds is None else video_seconds,
        batch_size=data.batch_size,
        num_workers=data.num_workers,
        val_area=val_area,
        forward_seconds=forward_seconds,
    )


def given_step_seconds(value: Any) -> float | None:
    """The seconds of a step that ``estimate`` gives; None: they are to be measured.

    Raises:
        ValueError: if it is neither true nor a positive number.
    """
    if value is True:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(
            f"estimate is {value!r}; give true to have a step measured here, or its seconds measured "
            "elsewhere, such as estimate=0.35"
        )
    return float(value)


def _make_optimizer(module: VideoClassifier, rate: float, model: ClipClassifier) -> Optimizer:
    groups = parameter_groups(
        model.net,
        lr=rate,
        weight_decay=module.weight_decay,
        block_lr_multiplier=module.block_lr_multiplier,
    )
    return module.optimizer(groups)


def _time_videos(data: VideoDataModule) -> float:
    """Seconds per training video in this process, with one thread as a worker has."""
    with warnings.catch_warnings():
        # Of more workers than cores: the machine that is planned for has its own.
        warnings.simplefilter("ignore")
        loader = data.train_dataloader()
    first, *keys = islice(chain.from_iterable(loader.batch_sampler or ()), 1 + _NUM_SAMPLES)
    load: Callable[[Any], Any] = loader.dataset.__getitem__
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        load(first)  # and what only the first costs
        started = time.perf_counter()
        for key in keys or [first]:
            load(key)
        return (time.perf_counter() - started) / max(1, len(keys))
    finally:
        torch.set_num_threads(threads)


def memory_size(num_bytes: int) -> str:
    """In GiB, or MiB where it is less than one."""
    return f"{num_bytes / 2**30:.2f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.1f} MiB"
