"""What a step of a net takes: time and memory."""

import copy
import os
import statistics
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Num
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.benchmark.utils.timer import timer


def training_step(net: nn.Module, views: Num[Tensor, "*n c t h w"]) -> Callable[[], None]:
    """A training step as it is measured: forward pass, cross-entropy, backward pass.

    There is no optimizer: the weights stay as they are, but the statistics of batch norms change. The
    gradients are dropped at the end of the step.
    """

    def step() -> None:
        logits = net(views).flatten(0, -2).float()
        labels = torch.zeros(len(logits), dtype=torch.long, device=views.device)
        F.cross_entropy(logits, labels).backward()
        net.zero_grad(set_to_none=True)

    return step


def median_milliseconds(
    nets: Mapping[str, nn.Module],
    views: Num[Tensor, "*n c t h w"],
    *,
    training: bool = False,
    rounds: int = 15,
    warmup: int = 2,
) -> dict[str, float]:
    """Median time per clip of several nets on the same views, one after the other in every round.

    Every other round runs the nets in reversed order, so that anything that slows the machine for a
    while slows them alike; warm-up rounds are not timed. An inference is a forward pass in evaluation
    mode without autograd. Not included: reading and decoding, moving the views to the device, the
    optimizer, the exchange of gradients between devices. Autocast is up to the caller.
    """
    steps: dict[str, Callable[[], Any]] = {}
    for name, net in nets.items():
        net = copy.deepcopy(net).train(training)
        steps[name] = training_step(net, views) if training else lambda net=net: net(views)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    with nullcontext() if training else torch.inference_mode():
        for number in range(warmup + rounds):
            for name in steps if number % 2 == 0 else reversed(steps):
                started = timer()  # which waits for a GPU
                steps[name]()
                seconds[name].append(timer() - started)
    num_clips = views.shape[:-4].numel()
    return {
        name: 1000 * statistics.median(measured[warmup:]) / num_clips
        for name, measured in seconds.items()
    }


def peak_bytes(step: Callable[[], Any], device: torch.device | str = "cpu") -> int:
    """The most memory that tensors take during a step, above what they take before it.

    The step is run twice and the second run counts, so that what only the first allocates, such as the
    work space of an algorithm that is chosen then, is left out.

    On a GPU: the rise of what PyTorch's allocator has handed out, including work space of its
    libraries. On a CPU: the running sum of what the profiler sees allocated and freed; it sees neither
    the work space of libraries with their own allocators nor what the step frees of older memory.
    """
    step()
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    # Otherwise the profiler complains on stderr about missing GPUs.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    inner: Any = profiler.profiler  # whose stubs lack the sizes
    events = sorted(
        (event.start_ns(), event.nbytes())
        for event in inner.kineto_results.events()
        if event.name() == "[memory]" and event.device_type().name == "CPU"
    )
    return max(accumulate((size for _, size in events), initial=0))
