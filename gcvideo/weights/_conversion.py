"""Weights of other code bases: the net that they need, and single context blocks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import nn

from gcvideo._construction import construct
from gcvideo.nn import ContextBlock
from gcvideo.weights._architecture import Architecture, architecture_of
from gcvideo.weights._naming import (
    IMAGE_NAMINGS,
    Inflation,
    context_block_to_common,
    detect_naming,
    is_ignored,
    to_common,
)
from gcvideo.weights._net_choice import NetChoice, configured_choice, conventions
from gcvideo.weights._state_file import StateDict, StateFile, WeightsError, read_state_file
from gcvideo.weights._weights import COUNTERS, HEAD, LoadReport, Weights, load_weights


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """Weights of another code base with the description of the net that computes the same.

    Args:
        name: name of the weights in reports.
        layout: code base whose names they have.
        architecture: what the tensors show of their net.
        choice: what they do not show.
        assumed: names in ``choice`` whose values are only a habit of the code base.
        net: description for :func:`gcvideo._construction.construct`.
        source: tensors under their own names.
        notes: what was unwrapped, renamed, converted or left out while a file was read.
        inflation: rule for image kernels.
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
        """The net with its weights; only image weights leave its head fresh."""
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
    """Find out which net some weights need, from names, shapes and stored configuration.

    Args:
        source: file of weights, one that was read, or a state dict, in the naming of PyTorchVideo,
            PySlowFast, Caffe2 (video-nonlocal-net), mmaction2, torchvision or mmdetection with GCNet's
            plugin.
        choice: what tensors do not show; it overrides a file's configuration, which overrides the
            habits of the code base.
        inflation: "mean" or "centre", for image weights.

    Raises:
        WeightsError: if the file cannot be read, the names are those of no known code base, the
            tensors are those of no net of this package, or ``choice`` must name the pairwise function
            of non-local blocks.

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
        net=_describe_net(tensors, architecture, full),
        source=file.tensors,
        notes=file.notes,
        inflation=inflation,
    )


def convert_context_block(source: StateDict) -> ContextBlock:
    """The block of GCNet, mmcv or timm that some weights belong to, with these weights.

    Settings follow from names and shapes, including the eps of the LayerNorm, which the tensors do not
    show: timm's ``LayerNorm2d`` has 1e-6, the ``nn.LayerNorm`` of GCNet and mmcv 1e-5. timm's block is
    built like the paper's but has another place in its nets, on the channels inside a bottleneck.

    Args:
        source: state dict of the block alone, such as ``conv_mask.weight``.

    Raises:
        WeightsError: for a key that such a block does not have, and for a block without its transform.
    """
    tensors = context_block_to_common(source)
    description = _describe_context_block(tensors, "")
    if any(key.startswith("mlp_") for key in source):
        description["eps"] = 1e-6
    (channels,) = {v.shape[0] for k, v in tensors.items() if k.endswith("expand.weight")}
    block = cast(ContextBlock, construct(description)(channels))
    block.load_state_dict(tensors)
    return block


def _describe_net(
    common: StateDict, architecture: Architecture, choice: NetChoice
) -> dict[str, Any]:
    """Description, for ``construct``, of the net of tensors that are under their common names."""
    family = choice.family or architecture.family
    if family == "slow" and (choice.temporal_stride == 2 or choice.temporal_pool):
        family = None  # slow_resnet never reduces time
    net: dict[str, Any] = {
        "_target_": f"gcvideo.models.{family or 'video'}_resnet",
        "num_classes": architecture.num_classes or 400,
        "depth": architecture.depth,
        "width": architecture.width,
        "head": choice.head or "adaptive",
        "stem_pool_padding": 1 if choice.stem_pool_padding is None else choice.stem_pool_padding,
    }
    if family is None:
        net["stem_kernel"] = architecture.stem_kernel
        net["temporal_kernels"] = [list(kernels) for kernels in architecture.temporal_kernels]
    if family != "slow":
        net["temporal_stride"] = choice.temporal_stride or 1
        net["temporal_pool"] = bool(choice.temporal_pool)
    if architecture.blocks:
        net["placement"] = _placement(common, architecture, choice)
    return net


def _placement(common: StateDict, architecture: Architecture, choice: NetChoice) -> dict[str, Any]:
    kinds = set(architecture.blocks.values())
    blocks = [
        _non_local(common, f"{stage}.{index}.block.", choice)
        if kind == "non-local"
        else _describe_context_block(common, f"{stage}.{index}.block.")
        for (stage, index), kind in architecture.blocks.items()
    ]
    if kinds - {"non-local", "context"} or any(block != blocks[0] for block in blocks):
        raise WeightsError(
            f"the weights are those of a {architecture}, which are not non-local or context blocks all "
            "of one kind; load them through the gcvideo checkpoint that they come from"
        )
    return {
        "_target_": "gcvideo.models.Placement",
        "block": blocks[0],
        **architecture.placement,
        "position": "after_relu" if kinds == {"non-local"} else "after_conv3",
    }


def _non_local(common: StateDict, prefix: str, choice: NetChoice) -> dict[str, Any]:
    inner, channels = common[f"{prefix}g.weight"].shape
    if inner != channels // 2:
        raise WeightsError(
            f"the non-local block {prefix.removesuffix('.block.')} has {inner} inner channels of "
            f"{channels}; this package converts blocks with half of the channels"
        )
    if f"{prefix}theta.weight" not in common:
        kind = "gaussian"
    elif f"{prefix}concat.weight" in common:
        kind = "concatenation"
    elif choice.non_local_kind is None:
        raise WeightsError(
            "the weights do not show the pairwise function of their non-local blocks; give "
            "non_local_kind: 'embedded_gaussian' (PySlowFast's 'softmax') or 'dot_product'"
        )
    else:
        kind = choice.non_local_kind
    block = {
        "_target_": "gcvideo.nn.NonLocalBlock",
        "_partial_": True,
        "kind": kind,
        "sub_sample": choice.non_local_pool or "none",
        "norm": f"{prefix}norm.weight" in common,
        "output_bias": f"{prefix}out.bias" in common,
    }
    if kind == "embedded_gaussian":
        block["scale"] = choice.non_local_scale is not False
    return block


def _describe_context_block(common: StateDict, prefix: str) -> dict[str, Any]:
    """Description of a context block of GCNet's code from its tensors."""
    fusion = [
        kind for kind in ("mul", "add") if f"{prefix}{kind}_transform.expand.weight" in common
    ]
    first = f"{prefix}{fusion[0]}_transform." if fusion else prefix
    expand, reduce = common.get(f"{first}expand.weight"), common.get(f"{first}reduce.weight")
    if expand is None:
        raise WeightsError(
            f"the context block {prefix.removesuffix('.block.')} lacks its transform; the weights are "
            "incomplete"
        )
    return {
        "_target_": "gcvideo.nn.ContextBlock",
        "_partial_": True,
        "pooling": "att" if f"{prefix}mask.weight" in common else "avg",
        "ratio": None if reduce is None else reduce.shape[0] / reduce.shape[1],
        "norm": f"{first}norm.weight" in common,
        "fusion": fusion,
        "eps": 1e-5,
    }
