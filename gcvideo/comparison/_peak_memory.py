import os
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


def peak_bytes(step: Callable[[], Any], device: torch.device | str = "cpu") -> int:
    """The most memory that tensors take during a step, above what they take before it.

    The step is run twice and the second time counts, so that what only the first allocates, such as
    the work space of an algorithm that is chosen then, is left out.

    On a GPU: the rise of what PyTorch's allocator has handed out, work space of its libraries
    included. On a CPU: the running sum of what the profiler sees allocated and freed; the work space
    of libraries with allocators of their own is not seen, nor is what the step frees of older memory.

    Args:
        step: such as a :func:`~gcvideo.comparison._training_step.training_step`.
        device: that it runs on.
    """
    step()
    if torch.device(device).type == "cuda":
        return _cuda_peak(step, torch.device(device))
    # Or the profiler complains on stderr about GPUs that are not there.
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


def _cuda_peak(step: Callable[[], Any], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
