"""The time of a training step and of a forward pass on this machine."""

import os
import timeit
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from gcvideo.command.train._peak_memory import watched_memory
from gcvideo.models import computing_in

_BUDGET_SECONDS = 60.0
# Between the pieces of one step, memory lies unused that no later step finds; this ends after some steps.
_NUM_STEPS = 5
_MAX_REPEATS = 10


class Precision(NamedTuple):
    """Type of the weights, and that of convolutions and products where it differs."""

    weights: torch.dtype
    autocast: torch.dtype | None

    @classmethod
    def of_trainer(cls, name: str | int) -> "Precision":
        """From ``trainer.precision``, such as "bf16-mixed"."""
        types = {"64": torch.float64, "32": torch.float32, "bf16": torch.bfloat16}
        types["16"] = torch.float16
        width, _, mode = str(name).partition("-")
        if width not in types or mode not in ("", "true", "mixed"):
            raise ValueError(
                f"trainer.precision is '{name}', for which there is no estimate; choose 32-true, "
                "bf16-mixed, 16-mixed, bf16-true, 16-true or 64-true"
            )
        if mode == "true" or width in ("64", "32"):
            return cls(types[width], None)
        return cls(torch.float32, types[width])


class StepTime(NamedTuple):
    """Seconds of forward, backward and optimizer step on a batch, and where they come from.

    ``peak_bytes`` is the most that steps of ``num_clips`` clips took beyond the weights, where it is known.
    """

    seconds: float
    source: str
    num_clips: int = 0
    peak_bytes: int | None = None


def time_step(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    num_clips: int,
    num_frames: int,
    crop_size: int,
    autocast: torch.dtype | None,
    bytes_per_clip: int,
    batches: Iterator[Tensor] | None = None,
) -> StepTime:
    """Time training steps of a model of uint8 views on its device; its weights change.

    Where a batch would not fit into the free memory, or five would take more than a minute, a smaller one
    is timed and scaled linearly. ``batches`` are views (b, v, 3, t, s, s) that this process loads between
    steps, as it will in training: what they leave behind decides on how much memory lies unused.
    """
    device = next(model.parameters()).device

    def time_steps(clips: int, number: int, batches: Iterator[Tensor] | None = None) -> float:
        views = torch.zeros((clips, 1, 3, num_frames, crop_size, crop_size), dtype=torch.uint8)
        views = views.to(device)
        labels = torch.zeros(clips, dtype=torch.int64, device=device)

        def load() -> None:
            nonlocal views
            if batches is not None:
                views = next(batches).flatten(0, 1).unsqueeze(1)[:clips].to(device)

        def step() -> None:
            with torch.autocast(device.type, autocast, enabled=autocast is not None):
                loss = F.cross_entropy(model(views).flatten(0, 1).float(), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            _synchronize(device)

        return min(timeit.repeat(step, load, number=1, repeat=number))

    with watched_memory(device) as memory:
        # Batch statistics of a small net need two clips.
        clips = min(2, num_clips)
        seconds = time_steps(clips, 2)
        affordable = min(
            num_clips,
            int(clips * _BUDGET_SECONDS / (_NUM_STEPS * seconds)),
            _free_memory(device) // bytes_per_clip,
        )
        clips = max(clips, affordable)
        seconds = time_steps(clips, _NUM_STEPS, batches)
        if repeats := min(_MAX_REPEATS, int(_BUDGET_SECONDS / 10 / seconds)):
            seconds = min(seconds, time_steps(clips, repeats))
    source = f"measured on {_name(device)}"
    if clips < num_clips:
        source += f" with {clips} clips, scaled linearly to {num_clips}"
    return StepTime(seconds * num_clips / clips, source, clips, memory.num_bytes)


def time_view(model: nn.Module, *, num_frames: int, crop_size: int, dtype: torch.dtype) -> float:
    """Seconds in which a model of uint8 views scores one on its device, from a batch of two."""
    model.eval()
    device = next(model.parameters()).device
    shape = (2, 1, 3, num_frames, crop_size, crop_size)
    views = torch.zeros(shape, dtype=torch.uint8, device=device)

    def score() -> None:
        with torch.inference_mode(), computing_in(dtype, device):
            model(views)
        _synchronize(device)

    return min(timeit.repeat(score, number=1, repeat=3)) / len(views)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if "SC_AVPHYS_PAGES" in getattr(os, "sysconf_names", ()):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 4 * 2**30


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"the CPU of this machine with {threads} thread{'s' if threads > 1 else ''}"
