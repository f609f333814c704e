"""How fast a training is, how long it waits for its data, and what helps."""

import math
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from lightning import Callback, LightningModule, Trainer

from gcvideo._console import Console
from gcvideo._duration import step_duration
from gcvideo._invocation import command_line
from gcvideo.data import VideoBatch
from gcvideo.data._parallel import usable_cores
from gcvideo.training._rank_exchange import gathered

_FIRST_CHECK = 50
_MAX_SHARE = 0.2


@dataclass
class DataWait:
    """Seconds of one device and of its workers since the start of an epoch."""

    fetching: float = 0.0  # the device is idle and no batch is there
    transferring: float = 0.0  # a batch moves to the device
    stepping: float = 0.0  # the device computes
    views: int = 0  # of these steps
    decoding: float = 0.0  # summed over the workers, as is the next
    transforming: float = 0.0
    videos: int = 0  # that the workers decoded and transformed

    @property
    def seconds(self) -> float:
        """All the time of the device."""
        return self.fetching + self.transferring + self.stepping

    @property
    def share(self) -> float:
        """Of the time in which the device waits, for the workers or for the transfer."""
        return (self.fetching + self.transferring) / self.seconds if self.seconds else 0.0


def describe_data_wait(
    waits: DataWait,
    *,
    num_workers: int,
    pin_memory: bool,
    num_devices: int,
    num_cores: int,
    keeps_frames: bool = False,
) -> str:
    """Which stage the device waits for most, and what helps.

    ``num_devices`` devices share the ``num_cores`` cores of the machine. With ``keeps_frames``, frames stay
    in memory, where no worker may take part.
    """
    start = f"the device waits for data {waits.share:.0%} of the time: "
    if waits.transferring >= waits.fetching:
        return start + _describe_transfer(waits, pin_memory)
    text = start + _describe_workers(
        waits, num_workers, max(1, num_cores // num_devices), keeps_frames
    )
    if waits.decoding >= waits.transforming:
        return (
            f"{text}; decoding gets faster with videos made small by `{command_line('reencode')}` "
            "(short_side=256 gop_size=16) and, if there is none yet, a frame index by "
            f"`{command_line('index')}`"
        )
    return f"{text}; a transform with fewer steps is faster, such as transform=jitter_crop"


def _describe_transfer(waits: DataWait, pin_memory: bool) -> str:
    seconds = waits.transferring / waits.views
    remedy = (
        "batches lie in pinned memory already; fewer or smaller frames (num_frames, crop_size) move "
        "faster, and a larger batch_size moves in fewer turns"
        if pin_memory
        else "batches do not lie in pinned memory, see pin_memory of VideoDataModule; a larger "
        "batch_size moves in fewer turns"
    )
    return (
        f"the transfer to it takes {waits.transferring / waits.seconds:.0%} of the time "
        f"({step_duration(seconds)} per clip); {remedy}"
    )


def _describe_workers(waits: DataWait, num_workers: int, num_cores: int, keeps_frames: bool) -> str:
    loading = max(waits.decoding + waits.transforming, 1e-9)
    stage, seconds = max(
        ("decoding", waits.decoding), ("transforming", waits.transforming), key=lambda s: s[1]
    )
    # Seconds per clip x clips per second of the device.
    needed = math.ceil(loading / waits.stepping)
    owner = "the workers'" if num_workers else "the loading"
    text = (
        f"{stage} takes {seconds / loading:.0%} of {owner} time "
        f"({step_duration(seconds / waits.videos)} per video); the device could do "
        f"{waits.views / waits.stepping:.3g} clips/s, for which it needs {needed} cores and has {num_cores}"
    )
    if keeps_frames:
        return (
            f"{text}; frames stay in memory once they are read, and where later epochs wait as long, they "
            "draw other frames, or not all fit: raise frame_cache_gb"
        )
    if not num_workers:
        text = f"there are no worker processes, so each step waits for its own videos; {text}"
    if needed <= num_workers:
        return (
            f"{text}, and {num_workers} workers: other programs on these cores hold them up, "
            "or the epochs are short, and the first batch of each has to be waited for"
        )
    if num_workers >= num_cores:
        return f"{text}: its {num_workers} workers use them all"
    return f"{text}: set num_workers={min(needed, num_cores)}"


class _HostEvent:
    """The part of ``torch.cuda.Event`` used here, for devices that are done when a call returns."""

    def __init__(self) -> None:
        self._seconds = time.perf_counter()

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, end_event: "_HostEvent") -> float:
        return 1000 * (end_event._seconds - self._seconds)


class _Step(NamedTuple):
    """Events of one step: the one before is done, a batch is there, it is on the device, it is done."""

    free: Any
    fetched: Any
    ready: Any
    done: Any
    views: int


class Throughput(Callback):
    """Logs views per second over all devices and the share of time spent waiting for data.

    ``data_wait`` = time between the end of a step and the moment its next batch is on the device /
    total time, over the epoch so far. On CUDA it is the time of the device, taken with events.

    Above 0.2 on any device, one message says which stage is slow and what helps: after the first 50
    steps, after an epoch, and again only if the share had fallen below in between.
    """

    def __init__(self) -> None:
        self.waits = DataWait()
        self._is_cuda = False
        self._pending: deque[_Step] = deque()
        self._free = self._fetched = self._ready = self._mark()
        self._num_steps = 0
        self._is_slow = False
        self._console = Console()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._is_cuda = pl_module.device.type == "cuda"
        strategy = trainer.strategy
        transfer = partial(type(strategy).batch_to_device, strategy)

        def timed(batch: Any, *args: Any, **kwargs: Any) -> Any:
            if trainer.training:
                self._fetched = self._mark()
                # Here, because reading it from the device later would make the host wait.
                decoding, transforming = batch["seconds"].double().sum(0).tolist()
                self.waits.decoding += decoding
                self.waits.transforming += transforming
                self.waits.videos += len(batch["seconds"])
            return transfer(batch, *args, **kwargs)

        # Lightning has no callback hook between fetching a batch and moving it.
        strategy.batch_to_device = timed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.waits = DataWait()
        self._pending.clear()
        self._free = self._mark()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # In the middle of an epoch: no step waits for what validation takes.
        self._free = self._mark()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: VideoBatch, batch_idx: int
    ) -> None:
        self._ready = self._mark()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: VideoBatch,
        batch_idx: int,
    ) -> None:
        done = self._mark()
        views = batch["labels"].numel()
        self._pending.append(_Step(self._free, self._fetched, self._ready, done, views))
        self._free = done
        # The first of an epoch is waited for, so that there is something to log.
        self._settle(all_steps=self.waits.views == 0)
        measured = {
            "clips_per_second": self.waits.views * trainer.world_size / self.waits.seconds,
            "data_wait": self.waits.share,
        }
        # Not over the epoch: Lightning would average figures that are averages already.
        pl_module.log_dict(measured, prog_bar=True, on_step=True, on_epoch=False, batch_size=1)
        self._num_steps += 1
        if self._num_steps == _FIRST_CHECK:
            self._check(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._check(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        vars(trainer.strategy).pop("batch_to_device", None)

    def _mark(self) -> Any:
        if not self._is_cuda:
            return _HostEvent()
        # An event of the device: the host runs ahead and knows nothing of its waits.
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _settle(self, *, all_steps: bool) -> None:
        """Add up the steps that the device has done; the others follow later."""
        if all_steps and self._pending:
            self._pending[-1].done.synchronize()
        while self._pending and self._pending[0].done.query():
            step = self._pending.popleft()
            self.waits.fetching += step.free.elapsed_time(step.fetched) / 1000
            self.waits.transferring += step.fetched.elapsed_time(step.ready) / 1000
            self.waits.stepping += step.ready.elapsed_time(step.done) / 1000
            self.waits.views += step.views

    def _check(self, trainer: Trainer) -> None:
        self._settle(all_steps=True)
        if not self.waits.views:
            return
        slowest = max(gathered(self.waits), key=lambda waits: waits.share)
        was_slow, self._is_slow = self._is_slow, slowest.share > _MAX_SHARE
        if self._is_slow and not was_slow and trainer.is_global_zero:
            loader: Any = trainer.train_dataloader
            text = describe_data_wait(
                slowest,
                num_workers=loader.num_workers,
                pin_memory=loader.pin_memory,
                num_devices=trainer.num_devices,
                num_cores=usable_cores(),
                keeps_frames=getattr(loader.dataset, "cache", None) is not None,
            )
            self._console.print(text, soft_wrap=True)
