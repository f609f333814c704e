"""Weights of other code bases: which net they need, and single context blocks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import nn

from gcvideo._construction import construct
from gcvideo.nn import ContextBlock
from gcvideo.weights._architecture import Architecture, architecture_of
from gcvideo.weights._inflation import Inflation
from gcvideo.weights._naming import (
    IMAGE_NAMINGS,
    context_block_to_common,
    detect_naming,
    is_ignored,
    to_common,
)
from gcvideo.weights._net_choice import NetChoice, configured_choice, conventions
from gcvideo.weights._net_description import describe_context_block, describe_net
from gcvideo.weights._state_file import StateDict, StateFile, read_state_file
from gcvideo.weights._weights import COUNTERS, HEAD, LoadReport, Weights, load_weights

_TIMM_EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """Weights of another code base with the description of the net that gives them their function.

    Args:
        name: what reports call the weights.
        layout: code base whose names they have.
        architecture: what the tensors show of their net.
        choice: what they do not show.
        assumed: those names of ``choice`` that follow from the habit of the code base alone.
        net: description for :func:`gcvideo._construction.construct`.
        source: the tensors under their own names.
        notes: what was unwrapped, renamed, converted or left out while a file was read.
        inflation: what becomes of image kernels.
    """

    name: str
    layout: str
    architecture: Architecture
    choice: NetChoice
    assumed: tuple[str, ...]
    net: Mapping[str, Any]
    source: StateDict
    notes: tuple[str, ...]
    inflation: Inflation

    def build(self) -> tuple[nn.Module, LoadReport]:
        """The net, filled; only image weights leave its head fresh."""
        net = cast(nn.Module, construct(self.net))
        is_image = self.layout in IMAGE_NAMINGS
        weights = Weights(
            name=self.name,
            read=lambda: self.source,
            inflation=self.inflation if is_image else None,
            fresh=HEAD + COUNTERS if is_image else COUNTERS,
        )
        return net, load_weights(net, weights)


def convert(
    source: str | Path | StateDict | StateFile,
    choice: NetChoice | None = None,
    *,
    inflation: Inflation = "mean",
) -> Conversion:
    """Find out which net some weights need, by rule: from names, shapes and stored configuration.

    Args:
        source: file of weights, one that was read, or a state dict, in the naming of PyTorchVideo,
            PySlowFast, Caffe2 (video-nonlocal-net), mmaction2, torchvision or mmdetection with GCNet's
            plugin.
        choice: what tensors do not show; it goes before what a file's configuration says, and that
            before the habits of the code base.
        inflation: "mean" or "centre", of image weights.

    Raises:
        WeightsError: if the file cannot be read, the names are those of no known code base, the
            tensors are those of no net of this package, or the pairwise function of non-local blocks
            has to be told.

    Example:
        >>> from gcvideo.models import slow_resnet
        >>> weights = slow_resnet(num_classes=7, width=4).state_dict()
        >>> str(convert(weights).architecture)
        'Slow R50 of width 4'
    """
    given = choice or NetChoice()
    if isinstance(source, StateFile):
        name, file = "weights", source
    elif isinstance(source, Mapping):
        name, file = "weights", StateFile(dict(source), None, ())
    else:
        name, file = Path(source).name, read_state_file(source)
    naming = detect_naming(file.tensors)
    common = to_common(file.tensors, naming)
    tensors = {k: v for k, v in common.items() if not is_ignored(k, naming)}
    architecture = architecture_of(tensors)
    told = given.over(configured_choice(file.config or "", naming.name))
    habit = conventions(naming.name, architecture, file.tensors, told)
    full = told.over(habit)
    return Conversion(
        name=name,
        layout=naming.name,
        architecture=architecture,
        choice=full,
        assumed=tuple(
            name
            for name in sorted(habit.known().keys() - told.known().keys())
            if architecture.blocks or not name.startswith("non_local")
        ),
        net=describe_net(tensors, architecture, full),
        source=file.tensors,
        notes=file.notes,
        inflation=inflation,
    )


def convert_context_block(source: StateDict) -> ContextBlock:
    """The block of GCNet, mmcv or timm that some weights belong to, filled.

    Settings follow from names and shapes, also the eps of the LayerNorm, which the tensors do not
    hold: timm's ``LayerNorm2d`` has 1e-6, the ``nn.LayerNorm`` of GCNet and mmcv 1e-5. timm's block
    has the layout of the paper's but sits elsewhere in its nets, on the channels inside a bottleneck.

    Args:
        source: state dict of the block alone, such as ``conv_mask.weight``.

    Raises:
        WeightsError: for a key that such a block does not have, and for a block without its transform.
    """
    tensors = context_block_to_common(source)
    description = describe_context_block(tensors, "")
    if any(key.startswith("mlp_") for key in source):
        description["eps"] = _TIMM_EPS
    (channels,) = {v.shape[0] for k, v in tensors.items() if k.endswith("expand.weight")}
    block = cast(ContextBlock, construct(description)(channels))
    block.load_state_dict(tensors)
    return block
