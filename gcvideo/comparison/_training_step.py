from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Num
from torch import Tensor, nn


def training_step(net: nn.Module, views: Num[Tensor, "*n c t h w"]) -> Callable[[], None]:
    """What is measured as a step of training: forward pass, cross-entropy, backward pass.

    There is no optimizer: the weights stay as they are, the statistics of batch norms do not. The
    gradients are dropped at the end of the step.

    Args:
        net: maps the views to logits (..., k); on the device of the views, in training mode.
        views: of one batch.
    """

    def step() -> None:
        logits = net(views).flatten(0, -2).float()
        F.cross_entropy(
            logits, torch.zeros(len(logits), dtype=torch.long, device=views.device)
        ).backward()
        net.zero_grad(set_to_none=True)

    return step
