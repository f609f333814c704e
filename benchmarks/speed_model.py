"""Nets of a benchmark: ours, and those of pytorchvideo as its users have them."""

import copy
from collections.abc import Sequence

import torch
from jaxtyping import UInt8
from omegaconf import DictConfig
from torch import Tensor, nn

from gcvideo.command._assembly import build
from gcvideo.command.configuration._composition import compose_model
from gcvideo.data import EvaluationProtocol
from gcvideo.models import ClipClassifier, settle_layout

NETS = ("slow", "slow_gc placement@model.placement=all", "slow_nl")
FILE_NETS = ("slow_gc",)


def model_words(cfg: DictConfig, usual: Sequence[str]) -> list[str]:
    """The models of a benchmark; the usual ones if it names none.

    Raises:
        ValueError: for an empty list, or sizes that no net takes.
    """
    words = list(usual) if cfg.models is None else [str(words) for words in cfg.models]
    if not words or min(cfg.num_frames, cfg.batch_size) < 1 or cfg.crop_size < 32:
        raise ValueError(
            f"models is {words}, num_frames {cfg.num_frames}, batch_size {cfg.batch_size}, crop_size "
            f"{cfg.crop_size}; give at least one model, frame and clip, and crops of at least 32 pixels, "
            "to which the nets shrink one cell"
        )
    return words


def compose_clip_net(words: str, num_frames: int, crop_size: int) -> DictConfig:
    """The same for a net with 400 classes on clips of some size; no dropout, so that results compare."""
    return compose_model(
        words,
        "recipe=kinetics400",
        "num_classes=400",
        "dropout=0",
        f"num_frames={num_frames}",
        f"crop_size={crop_size}",
    )


def build_drawn_net(cfg: DictConfig) -> nn.Module:
    """The net, with weights under which every part of it shows in the logits."""
    net = build(cfg.model.net)
    draw_parameters(net)
    return net


def draw_parameters(net: nn.Module) -> None:
    """Draw what is zero or small at the start, so that each part of a net or block shows in its output."""
    for module in net.modules():
        if isinstance(module, nn.Linear):
            # Those of non-local blocks start so small that their batch norm would see rounding errors.
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
    for parameter in net.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.5)


def make_model(
    net: nn.Module, cfg: DictConfig, layout: str, device: torch.device, dtype: torch.dtype
) -> ClipClassifier:
    """A copy of a net with its normalisation on a device.

    Args:
        net: stays as it is.
        cfg: of :func:`compose_model`.
        layout: of :class:`~gcvideo.models.ClipClassifier`; "contiguous" with nothing else done is
            pytorchvideo's net as its users have it.
        device: that computes.
        dtype: in which it will compute, on which "auto" may depend.
    """
    protocol: EvaluationProtocol = build(cfg.protocol)
    model = ClipClassifier(
        copy.deepcopy(net),
        mean=protocol.mean,
        std=protocol.std,
        layout=layout,  # pyright: ignore[reportArgumentType]
    ).to(device)
    settle_layout(model, device, dtype)
    return model


def draw_views(
    cfg: DictConfig, num_clips: int, device: torch.device
) -> UInt8[Tensor, "b 1 3 t h w"]:
    """Random clips of the size that a configuration asks for."""
    shape = (num_clips, 1, 3, cfg.num_frames, cfg.crop_size, cfg.crop_size)
    views = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return views.to(device)
