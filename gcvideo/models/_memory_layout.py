"""How feature maps lie in memory."""

from typing import Literal, get_args

import torch
from torch import nn

from gcvideo.nn._choice import check_choice
from gcvideo.nn._convolution import use_video_convolutions

Layout = Literal["auto", "contiguous", "channels_last", "folded"]
"""How a net lays out feature maps and runs its convolutions.

"contiguous": (n, c, t, h, w) in memory, 3-D convolutions as PyTorch runs them.
"channels_last": (n, t, h, w, c) in memory, `VideoConv3d`.
"folded": the same memory; kernels of one frame or one pixel run as 2-D convolutions.
"auto": "channels_last", the faster one on CPUs; on a GPU "folded" if `settle_layout` finds that
3-D convolutions are broken there.
"""


def apply_layout(net: nn.Module, layout: Layout) -> torch.memory_format:
    """Lay out the weights of a net and choose how its convolutions run, in place.

    Returns:
        The memory format that clips should have.

    Raises:
        ValueError: for an unknown word.
    """
    check_choice("layout", layout, get_args(Layout))
    if layout == "contiguous":
        return torch.contiguous_format
    use_video_convolutions(net, folded=layout == "folded")
    net.to(memory_format=torch.channels_last_3d)  # pyright: ignore[reportCallIssue]
    return torch.channels_last_3d
