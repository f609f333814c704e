"""Image kernels extended over time."""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from gcvideo.nn._choice import check_choice
from gcvideo.weights._state_file import StateDict

Inflation = Literal["mean", "centre"]


def inflate_kernel(
    kernel: Float[Tensor, "o i h w"], num_frames: int, inflation: Inflation = "mean"
) -> Float[Tensor, "o i t h w"]:
    """A 2-D kernel over time.

        mean:    w3d_t = w2d / T            centre:    w3d_t = w2d if t = (T - 1) / 2 else 0

    On a video of identical frames, away from its ends, a convolution with the first gives the 2-D
    result; with the second it gives that of each frame, in any video.
    Source: "mean" Carreira and Zisserman, I3D (arXiv:1705.07750); "centre" Feichtenhofer et al.,
    Spatiotemporal Residual Networks (arXiv:1611.02155).
    """
    check_choice("inflation", inflation, get_args(Inflation))
    if inflation == "mean":
        return kernel.unsqueeze(2).repeat(1, 1, num_frames, 1, 1) / num_frames
    inflated = torch.zeros(*kernel.shape[:2], num_frames, *kernel.shape[2:], dtype=kernel.dtype)
    inflated[:, :, num_frames // 2] = kernel
    return inflated


def inflate(source: StateDict, target: StateDict, inflation: Inflation) -> dict[str, Tensor]:
    """Kernels of one frame in ``source`` inflated to the length that they have in ``target``."""
    inflated = dict(source)
    for key, value in source.items():
        longer = target.get(key)
        if longer is not None and value.ndim == longer.ndim == 5 and value.shape[2] == 1:
            inflated[key] = inflate_kernel(value[:, :, 0], longer.shape[2], inflation)
    return inflated
