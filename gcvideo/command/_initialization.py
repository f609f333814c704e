"""How the net of a training starts: from weights, and with new blocks that leave it as it is."""

from collections.abc import Sequence

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from gcvideo.models import inserted_blocks, insertion_effect
from gcvideo.weights import LoadReport, load_weights


def initialize_net(cfg: DictConfig, classes: Sequence[str]) -> tuple[nn.Module, list[str]]:
    """The net of a configuration, filled if there are weights, and what is to be said of its start.

    Args:
        cfg: of the training.
        classes: of its data; the head gets the rows of these names.
    """
    net: nn.Module = instantiate(cfg.model.net, _convert_="all")
    if cfg.weights is None:
        return net, []
    report = load_weights(net, instantiate(cfg.weights, _convert_="all"), classes)
    return net, [f"weights    {report}", *_describe_new_blocks(net, report, cfg)]


def _describe_new_blocks(net: nn.Module, report: LoadReport, cfg: DictConfig) -> list[str]:
    fresh = set(report.fresh)
    new = [
        block
        for block in inserted_blocks(net)
        if any(f"{block.name}.{name}" in fresh for name, _ in block.module.named_parameters())
    ]
    if not new:
        return []
    generator = torch.Generator().manual_seed(cfg.seed)
    shape = (2, 3, cfg.num_frames, cfg.crop_size, cfg.crop_size)
    effect = insertion_effect(net, torch.randn(shape, generator=generator))
    if effect == 0:
        return [f"new blocks {len(new)}, and the logits are those without them, bit for bit"]
    return [
        f"new blocks {len(new)}, and they change the logits by up to {effect:.3g}: this block does not "
        "start as the identity (model.block.mul_start=identity makes multiplication do so)"
    ]
