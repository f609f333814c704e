"""The check whether 3-D convolutions are slow on a GPU, and the remedy."""

import functools
import warnings
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.benchmark.utils.timer import timer

from gcvideo.models._classifier import ClipClassifier
from gcvideo.nn._convolution import use_video_convolutions

# A layer of res4 in Slow R50 8x8 at 224 pixels.
_INPUT = (8, 256, 8, 14, 14)
_WEIGHT = (256, 256, 1, 3, 3)
_NUM_ROUNDS = 5


def settle_layout(
    model: ClipClassifier, device: torch.device | str, dtype: torch.dtype
) -> float | None:
    """Fold the convolutions of a model with layout "auto" if 3-D ones are slow on its GPU.

    Some releases of cuDNN or PyTorch compute 3-D convolutions in bfloat16 several times slower than
    in float32 (PyTorch issues 166122 and 167420). 2-D convolutions are not affected. The check takes
    less than a second and is made once per device, before the model is compiled.

    Returns:
        Time of a 3-D convolution in ``dtype`` / time in float32, or None if nothing was checked: on a
        CPU, in float32 or wider, or for a model with another layout.
    """
    device = torch.device(device)
    if model.layout != "auto" or device.type != "cuda" or dtype.itemsize >= 4:
        return None
    slowdown = convolution_slowdown(device, dtype)
    if slowdown > 1:
        use_video_convolutions(model.net, folded=True)
        warnings.warn(
            f"3-D convolutions take {slowdown:.1f} times as long in {dtype} as in float32 with this GPU "
            f"and torch {torch.__version__}, so they run as 2-D convolutions; update PyTorch, or choose "
            "layout=channels_last to keep them anyway",
            stacklevel=2,
        )
    return slowdown


@functools.cache
def convolution_slowdown(device: torch.device, dtype: torch.dtype) -> float:
    """Time of a 3-D convolution, forward and backward, in one type / time in float32.

    The medians are over rounds, in each of which the two types are timed one after the other.
    """
    steps = [_step(device, one) for one in (dtype, torch.float32)]
    rounds = []
    for _ in range(1 + _NUM_ROUNDS):
        times = [timer()]  # which waits for a GPU
        for step in steps:
            step()
            times.append(timer())
        rounds.append(np.diff(times))
    ours, theirs = np.median(rounds[1:], axis=0)
    return float(ours / theirs)


def _step(device: torch.device, dtype: torch.dtype) -> Callable[[], tuple[Tensor, ...]]:
    layout = torch.channels_last_3d
    x, weight = (
        torch.zeros(shape, dtype=dtype, device=device)
        .contiguous(memory_format=layout)
        .requires_grad_()
        for shape in (_INPUT, _WEIGHT)
    )

    def step() -> tuple[Tensor, ...]:
        y = F.conv3d(x, weight, padding=(0, 1, 1))
        return torch.autograd.grad(y, (x, weight), torch.ones_like(y))

    return step
