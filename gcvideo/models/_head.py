"""The classification head of the nets."""

import math
from typing import get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gcvideo._family import HeadMode
from gcvideo.nn._choice import check_choice


class Head(nn.Module):
    """Classification head: pooling over space-time, dropout and one linear layer.

    With f the feature map averaged over time, P_n its averages over windows of ``pool_size`` x
    ``pool_size`` cells (stride 1, n = 1..N) and W the linear layer, the logits are

        adaptive:   W mean_hw(f)                        any clip length and crop
        fcn_logit:  mean_n W P_n                        PyTorchVideo
        fcn_prob:   log mean_n softmax(W P_n)           PySlowFast, Non-local Networks

    At the training crop there is one window and the three agree, up to a constant for ``fcn_prob``.
    At a larger crop the windowed modes weight the centre more than the borders.
    Differs from PySlowFast: logits come out in training and evaluation alike (the softmax of the
    ``fcn_prob`` logits is PySlowFast's evaluation output).

    Args:
        in_channels: C of the feature map.
        num_classes: K.
        dropout: probability of dropping a pooled feature.
        mode: one of the three functions above; it can be changed on a trained net.
        pool_size: window of the fcn modes in feature cells: training crop / 32.

    Raises:
        ValueError: for an unknown mode, fewer than two classes, and in ``forward`` for a map smaller
            than the window.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        dropout: float = 0.5,
        mode: HeadMode = "adaptive",
        pool_size: int = 7,
    ) -> None:
        super().__init__()
        _check_num_classes(num_classes)
        self.dropout = nn.Dropout(dropout)
        self.proj = nn.Linear(in_channels, num_classes)
        self.configure(mode, pool_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw W from N(0, 0.01^2), as the peers do."""
        nn.init.normal_(self.proj.weight, std=0.01)
        nn.init.zeros_(self.proj.bias)

    def configure(self, mode: HeadMode, pool_size: int) -> None:
        """Choose the pooling function; the parameters stay."""
        check_choice("head mode", mode, get_args(HeadMode))
        if pool_size < 1:
            raise ValueError(f"pool_size is {pool_size}; it must be at least 1 cell (crop / 32)")
        self.mode: HeadMode = mode
        self.pool_size = pool_size

    def pool(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b *n c"]:
        """The input of the linear layer: one vector of a clip, or one per window."""
        if self.mode == "adaptive":
            return x.mean(dim=(2, 3, 4))
        x = x.mean(dim=2)  # (b, c, h, w)
        if min(x.shape[2:]) < self.pool_size:
            raise ValueError(
                f"the feature map has {x.shape[2]} x {x.shape[3]} cells, the head's window is "
                f"{self.pool_size} x {self.pool_size}; use a crop of at least {32 * self.pool_size} "
                "pixels or head mode 'adaptive'"
            )
        return F.avg_pool2d(x, self.pool_size, stride=1).flatten(2).transpose(1, 2)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b k"]:
        logits = self.proj(self.dropout(self.pool(x)))  # (b, k) or (b, n, k)
        if self.mode == "adaptive":
            return logits
        if self.mode == "fcn_logit":
            return logits.mean(dim=1)
        log_probs = logits.float().log_softmax(dim=-1)
        return torch.logsumexp(log_probs, dim=1) - math.log(log_probs.shape[1])

    def extra_repr(self) -> str:
        return f"mode={self.mode!r}, pool_size={self.pool_size}"


def reset_head(net: nn.Module, num_classes: int) -> None:
    """Give a net a fresh last layer for other classes, in place; dropout and pooling stay.

    The layer starts as in a new net, with W from N(0, 0.01^2) and zero biases, on the device and in the
    type of the layer it replaces.

    Args:
        net: net of this package, with or without a :class:`~gcvideo.models.ClipClassifier` around it.
        num_classes: K.

    Raises:
        ValueError: for fewer than two classes, or a net without a :class:`Head`.
    """
    _check_num_classes(num_classes)
    head = next((module for module in net.modules() if isinstance(module, Head)), None)
    if head is None:
        raise ValueError(
            f"the {type(net).__name__} has no Head; build the net with slow_resnet, i3d_resnet or "
            "c2d_resnet"
        )
    weight = head.proj.weight
    head.proj = nn.Linear(
        head.proj.in_features, num_classes, device=weight.device, dtype=weight.dtype
    )
    head.reset_parameters()


def _check_num_classes(num_classes: int) -> None:
    if num_classes < 2:
        raise ValueError(f"num_classes is {num_classes}; a classifier needs at least 2")
