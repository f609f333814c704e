"""How the net of a training starts: from weights, and with new blocks that leave it as it is."""

from collections.abc import Sequence

import torch
from torch import nn

from gcvideo.models import inserted_blocks, insertion_effect
from gcvideo.weights import Weights, load_weights


def initialize_net(
    net: nn.Module,
    weights: Weights,
    classes: Sequence[str],
    shape: tuple[int, ...],
    *,
    seed: int,
) -> list[str]:
    """Fill a net with weights; returns what to say of its start.

    The head gets the rows of the named classes. What new blocks change is found on random views of a
    shape (b, c, t, h, w), drawn from the seed.
    """
    report = load_weights(net, weights, classes)
    lines, fresh = [f"weights    {report}"], set(report.fresh)
    num_new = sum(
        any(f"{block.name}.{name}" in fresh for name, _ in block.module.named_parameters())
        for block in inserted_blocks(net)
    )
    if not num_new:
        return lines
    generator = torch.Generator().manual_seed(seed)
    effect = insertion_effect(net, torch.randn(shape, generator=generator))
    if effect == 0:
        return [*lines, f"new blocks {num_new}, and the logits are those without them, bit for bit"]
    return [
        *lines,
        f"new blocks {num_new}, and they change the logits by up to {effect:.3g}: this block does not "
        "start as the identity (model.block.mul_start=identity makes multiplication do so)",
    ]
