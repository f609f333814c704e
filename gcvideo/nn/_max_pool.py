"""Max pooling of feature maps."""

from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gcvideo.nn._autocast import without_autocast


def max_pool3d(x: Float[Tensor, "b c t h w"], *settings: Any) -> Float[Tensor, "b c u y x"]:
    """``F.max_pool3d`` in the type of ``x``; a maximum is exact in each.

    On CPUs, autocast would widen ``x`` to float32, and leave the result so wide.
    """
    with without_autocast(x):
        return F.max_pool3d(x, *settings)


class VideoMaxPool3d(nn.MaxPool3d):
    """``nn.MaxPool3d`` in the type of its input, also under autocast."""

    def forward(self, input: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c u y x"]:
        settings = self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
        return max_pool3d(input, *settings)
