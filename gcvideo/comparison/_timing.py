import copy
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Num
from torch import Tensor, nn

from gcvideo.comparison._training_step import training_step


@dataclass(frozen=True)
class Timing:
    """Milliseconds per clip: median and quartiles over the rounds."""

    median: float
    lower_quartile: float
    upper_quartile: float


def median_milliseconds(
    nets: Mapping[str, Callable[[Tensor], Any]],
    views: Num[Tensor, "*n c t h w"],
    *,
    training: bool = False,
    rounds: int = 20,
    warmup: int = 3,
) -> dict[str, Timing]:
    """Time per clip of several nets on the same views, one after the other in every round.

    Each round runs every net once, and every other round in reversed order, so that whatever slows
    the machine for a while slows them alike. On a GPU, time is taken by events on its stream.

    An inference is a forward pass in evaluation mode without autograd; a training step is that of
    :func:`~gcvideo.comparison._training_step.training_step`. Not included: reading and decoding, the
    way of the views to the device, the optimizer, the exchange of gradients between devices. Autocast
    is the caller's.

    Args:
        nets: on the device of the views; modules are copied and left as they are.
        views: of one batch; their leading axes count clips.
        training: time training steps instead of inference; all nets must be modules.
        rounds: that are timed.
        warmup: rounds in front of them that are not.

    Raises:
        ValueError: for less than one round or a negative warm-up.
        TypeError: if a net that shall train is no module.
    """
    if rounds < 1 or warmup < 0:
        raise ValueError(
            f"rounds is {rounds}, warmup {warmup}; time at least 1 round, after 0 or more"
        )
    clock = _event_milliseconds if views.is_cuda else _wall_milliseconds
    steps = {name: _step(name, net, views, training) for name, net in nets.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    with nullcontext() if training else torch.inference_mode():
        for number in range(warmup + rounds):
            for name in steps if number % 2 == 0 else reversed(steps):
                milliseconds = clock(steps[name])
                if number >= warmup:
                    times[name].append(milliseconds)
    num_clips = views.shape[:-4].numel()
    return {name: _timing(np.array(rows) / num_clips) for name, rows in times.items()}


def _step(
    name: str, net: Callable[[Tensor], Any], views: Tensor, training: bool
) -> Callable[[], Any]:
    if isinstance(net, nn.Module):
        net = copy.deepcopy(net).train(training)
        return training_step(net, views) if training else lambda: net(views)
    if training:
        raise TypeError(
            f"the net '{name}' is a {type(net).__name__}, which cannot be trained; give a module, or "
            "leave training=False"
        )
    return lambda: net(views)


def _wall_milliseconds(step: Callable[[], Any]) -> float:
    started = time.perf_counter()
    step()
    return 1000 * (time.perf_counter() - started)


def _event_milliseconds(step: Callable[[], Any]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()  # or the event would wait for what was queued before
    start.record()
    step()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def _timing(milliseconds: np.ndarray) -> Timing:
    lower, median, upper = np.quantile(milliseconds, [0.25, 0.5, 0.75]).tolist()
    return Timing(median, lower, upper)
