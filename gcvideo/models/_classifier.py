"""A net with its input normalisation and its memory layout."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from gcvideo.nn._choice import check_choice
from gcvideo.nn._convolution import use_video_convolutions

Layout = Literal["auto", "contiguous", "channels_last", "folded"]
"""How a net lays out feature maps and runs its convolutions.

"contiguous": (n, c, t, h, w) in memory, 3-D convolutions as PyTorch runs them.
"channels_last": (n, t, h, w, c) in memory, `VideoConv3d`.
"folded": the same memory; kernels of one frame or one pixel run as 2-D convolutions.
"auto": "channels_last", which is faster on CPUs; on a GPU "folded" if `settle_layout` finds that
3-D convolutions are slow there.
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


Normalization = Literal["constants", "motion"]


class ClipClassifier(nn.Module):
    """A net with its input normalisation: raw views of videos in, logits out.

        constants:  logits_v = net((x_v / 255 - mean) / std)
        motion:     logits_v = net(d_v / (s_v + 1)),    d_v = x_v - mean_t x_v,    s_v^2 = mean_cthw d_v^2

    "motion" takes away what does not move, and the contrast. Where classes differ by small movements of
    what looks alike, a net that would see no more than the likeness for many epochs learns at once; what
    stands still, it does not see. The constants are buffers, so a checkpoint cannot be used with the wrong
    ones. Views arrive as uint8 RGB and become floats on the device of the net.

    Args:
        net: module that maps (n, 3, t, h, w) normalised RGB to logits (n, k).
        mean: per RGB channel, on the scale [0, 1].
        std: positive deviations, likewise.
        normalization: one of the two above.
        layout: memory layout of feature maps, and with it the form of convolutions; numbers change only
            by rounding.

    Raises:
        ValueError: if mean or std does not have three entries, a std is not positive, or the layout or
            normalisation is unknown.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        net: nn.Module,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        normalization: Normalization = "constants",
        layout: Layout = "auto",
    ) -> None:
        super().__init__()
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(
                f"mean is {list(mean)}, std is {list(std)}; both need one value per RGB channel on the "
                "scale [0, 1], and each std must be positive"
            )
        check_choice("normalization", normalization, get_args(Normalization))
        self.normalization: Normalization = normalization
        self.layout: Layout = layout
        self.memory_format = apply_layout(net, layout)
        self.net = net
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(3, 1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(3, 1, 1, 1))

    @property
    def device(self) -> torch.device:
        return self.mean.device

    def normalize(self, views: Num[Tensor, "*n 3 t h w"]) -> Float[Tensor, "*n 3 t h w"]:
        """Standardise views given on the scale [0, 255], uint8 or float."""
        if self.normalization == "motion":
            # In bfloat16, a difference of two grey levels would be lost.
            motion = views.float() - views.float().mean(-3, keepdim=True)
            deviation = motion.square().mean((-4, -3, -2, -1), keepdim=True).sqrt()
            return (motion / (deviation + 1)).to(self.mean.dtype)
        views = views if views.is_floating_point() else views.to(self.mean.dtype)
        return (views / 255 - self.mean) / self.std

    def net_input(self, views: Num[Tensor, "n 3 t h w"]) -> Float[Tensor, "n 3 t h w"]:
        """What the net gets of views: standardised, in its memory layout."""
        return self.normalize(views).contiguous(memory_format=self.memory_format)

    def forward(self, views: Num[Tensor, "b v 3 t h w"]) -> Float[Tensor, "b v k"]:
        return self.net(self.net_input(views.flatten(0, 1))).unflatten(0, views.shape[:2])
