"""MixUp and CutMix across the videos of a batch."""

from collections.abc import Callable

from jaxtyping import Float, Int64
from torch import Tensor
from torchvision.tv_tensors import Video

Mixing = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def mix_videos(
    mixing: Mixing, views: Tensor, labels: Int64[Tensor, "b v"]
) -> tuple[Tensor, Float[Tensor, "n k"]]:
    """Views (b, v, c, t, h, w) mixed with views of other videos, as float32 on their scale, and soft labels.

    torchvision mixes each item of a batch with the one before, and the first with the last. Here the
    first views of all videos are followed by all second ones, so that neighbours are of two videos.
    A batch of a single video can only be mixed with itself: its label stays whole.
    """
    by_view = labels.mT.shape
    frames_first = views.transpose(0, 1).flatten(0, 1).transpose(1, 2).float()  # (n, t, c, h, w)
    mixed, targets = mixing(Video(frames_first), labels.mT.flatten())
    mixed = mixed.as_subclass(Tensor).transpose(1, 2).unflatten(0, by_view).transpose(0, 1)
    return mixed, targets.unflatten(0, by_view).transpose(0, 1).flatten(0, 1).float()
