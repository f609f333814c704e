"""Weights, and how they are loaded into a net."""

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gcvideo._construction import construct
from gcvideo.nn import NonLocalBlock
from gcvideo.weights._architecture import Architecture, architecture_of
from gcvideo.weights._naming import (
    IGNORED,
    NAMINGS,
    Inflation,
    convert_state_dict,
    detect_naming,
    rename,
    to_common,
)
from gcvideo.weights._state_file import StateDict, WeightsError

BLOCKS = ("*.branch_fusion.*", "*.activation.block.*")
HEAD = ("*.proj.*",)
# Batch norm with a momentum never reads its counters, and old and Caffe2 files lack them.
COUNTERS = ("*.num_batches_tracked",)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A source of weights, and what may be missing in it.

    Args:
        name: name in reports and messages.
        read: function that returns their tensors, in the naming of any known code base.
        inflation: "mean" or "centre" for weights of an image net; None: kernels have the same length.
        fresh: patterns (fnmatch) of parameters of the net that the source may lack or have in another
            shape; they keep their initial values.
        net: description of the net that the weights were made for, if it is known: what no tensor
            shows, such as strides and padding, is then compared as well.
        classes: names of the rows of the head, in order; None: unknown.
        protocol: description of the views that they were trained for; None: unknown.
    """

    name: str
    read: Callable[[], StateDict]
    inflation: Inflation | None = None
    fresh: Sequence[str] = ()
    net: Mapping[str, Any] | None = None
    classes: Sequence[str] | None = None
    protocol: Mapping[str, Any] | None = None

    @property
    def num_classes(self) -> int | None:
        """Rows of the head; None for weights without a head, and for those of images."""
        source = self.read()
        head = to_common(source, detect_naming(source)).get("head.proj.weight")
        return None if head is None or self.inflation is not None else len(head)


@dataclass(frozen=True)
class LoadReport:
    """What loading did with every parameter and buffer of the net and of the source.

    Args:
        name: name of the weights.
        loaded: keys of the net that were filled.
        fresh: keys of the net that keep their initial values.
        ignored: keys of the source that the net does not need.
        reshaped: those of ``fresh`` that the source has in another shape, with both shapes.
        head: what happened to its rows if they go by class name, else empty.
    """

    name: str
    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    ignored: tuple[str, ...]
    reshaped: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    head: str = ""

    def __str__(self) -> str:
        text = (
            f"{self.name}: {len(self.loaded)} tensors loaded, {len(self.fresh)} fresh, "
            f"{len(self.ignored)} of the source ignored"
        )
        heads = [s for k, s in self.reshaped.items() if k.endswith(".proj.weight")]
        for theirs, ours in heads:
            text += f"; the head starts fresh: it had {theirs[0]} classes, the net has {ours[0]}"
        return f"{text}; {self.head}" if self.head else text


def load_weights(
    net: nn.Module, weights: Weights, classes: Sequence[str] | None = None
) -> LoadReport:
    """Fill a net in place; strict except for the patterns of ``weights``.

    Args:
        net: module to fill.
        weights: source of its tensors.
        classes: names of the rows of its head, in order. A row of the source then goes to the row of its
            name, and other rows start fresh, as does a head whose names are unknown. None: the head is
            taken as it is.

    Raises:
        WeightsError: names keys that are missing, unexpected or of another shape, and the net that
            the weights were made for. The net is then unchanged.
    """
    target = net.state_dict()
    source = convert_state_dict(weights.read(), target, inflation=weights.inflation)
    head = "" if classes is None else _sort_head(source, target, weights, classes)
    ignored = [k for k in source if k not in target and _matches(k, IGNORED)]
    unexpected = [k for k in source if k not in target and k not in ignored]
    fits = {k: v for k, v in source.items() if k in target and v.shape == target[k].shape}
    absent = [k for k in target if k not in fits]
    fresh = [k for k in absent if _matches(k, weights.fresh)]
    problems = {
        "missing": [k for k in absent if k not in source and k not in fresh],
        "of another shape": [k for k in absent if k in source and k not in fresh],
        "unexpected": unexpected,
    }
    if any(problems.values()) or not fits:
        raise WeightsError(_complaint(weights.name, problems, bool(fits), source, target))
    if weights.net is not None:
        _check_function(net, weights)
    net.load_state_dict(fits, strict=False)
    reshaped = {k: (tuple(source[k].shape), tuple(target[k].shape)) for k in fresh if k in source}
    return LoadReport(weights.name, tuple(fits), tuple(fresh), tuple(ignored), reshaped, head)


def _sort_head(
    source: dict[str, Tensor], target: StateDict, weights: Weights, classes: Sequence[str]
) -> str:
    """Move rows of the head to their classes, or take the head out of the source; says which."""
    heads = [k for k in source if _matches(k, HEAD) and k in target]
    if any(source[k].shape[1:] != target[k].shape[1:] for k in heads):
        return ""  # of another net
    may_be_fresh = all(_matches(k, weights.fresh) for k in heads)
    if not heads or (weights.classes is None and not may_be_fresh):
        return ""
    row_of = {name: row for row, name in enumerate(weights.classes or ())}
    if weights.classes is not None and len(source[heads[0]]) != len(row_of):
        raise WeightsError(
            f"the weights '{weights.name}' have a head of {len(source[heads[0]])} classes, but "
            f"{len(row_of)} names for them; give the names of their classes, each once"
        )
    rows = [(ours, row_of[name]) for ours, name in enumerate(classes) if name in row_of]
    is_kept = bool(rows) and (may_be_fresh or len(rows) == len(classes))
    for key in heads:
        theirs = source.pop(key)
        if is_kept:
            source[key] = target[key].clone()
            source[key][[ours for ours, _ in rows]] = theirs[[row for _, row in rows]]
    if weights.classes is None:
        return (
            "the head starts fresh: nothing names the classes of its rows; weights.classes can, such as "
            "weights.classes=kinetics400"
        )
    return f"the head has {len(rows)} of {len(classes)} classes by name, the others start fresh"


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)


def _complaint(
    name: str,
    problems: Mapping[str, Sequence[str]],
    any_fits: bool,
    source: StateDict,
    target: StateDict,
) -> str:
    parts = [
        f"{len(keys)} {kind} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for kind, keys in problems.items()
        if keys
    ]
    if not any_fits:
        parts.append("no tensor fits")
    theirs, ours = _architecture(source), _architecture(target)
    if theirs is None or ours is None or not _overrides(theirs, ours):
        remedy = (
            "choose the architecture, depth and width the weights were made for, or name what may "
            "start fresh with weights.fresh"
        )
    else:
        remedy = f"they were made for {theirs}, and the net is {ours}: build it with {_overrides(theirs, ours)}"
        if theirs.family is not None:
            remedy += f", in Python with {theirs.family}_resnet(depth={theirs.depth}, ...)"
    return f"the weights '{name}' do not fit the net: {'; '.join(parts)}; {remedy}"


def _architecture(state: StateDict) -> Architecture | None:
    try:
        return architecture_of(to_common(state, NAMINGS["pytorchvideo"]))
    except WeightsError:
        return None


def _overrides(theirs: Architecture, ours: Architecture) -> str:
    """What to change on the command line so that the net becomes that of some weights."""
    if theirs.family is None:
        return f"gcvideo.models.video_resnet and temporal_kernels={theirs.temporal_kernels}"
    # Blocks that only the net has start fresh.
    lacks_blocks = bool(theirs.blocks) and theirs.blocks != ours.blocks
    words = []
    if theirs.family != ours.family or lacks_blocks:
        kinds = set((theirs if theirs.blocks else ours).blocks.values())
        suffix = {"non-local": "_nl", "context": "_gc"}.get("".join(kinds), "")
        words.append(f"model={theirs.family}{suffix}")
    if theirs.depth != ours.depth:
        words.append(f"model.net.depth={theirs.depth}")
    if theirs.width != ours.width:
        words.append(f"width={theirs.width}")
    if lacks_blocks:
        words += [
            f"model.placement.{stage}={str(indices).replace(' ', '')}"
            for stage, indices in theirs.placement.items()
        ]
    return " ".join(words)


def _check_function(net: nn.Module, weights: Weights) -> None:
    """Compare strides, padding, pools and settings of blocks with those of the net of the weights."""
    with torch.device("meta"):
        theirs = _settings(construct(weights.net))
    ours = _settings(net)
    places = theirs.keys() | {place for place in ours if place.endswith("pool")}
    for place in sorted(places):
        if theirs.get(place) != ours.get(place):
            raise WeightsError(
                f"the weights '{weights.name}' fit the net in shape, but not in function: "
                f"{place} was {theirs.get(place, 'absent')} and is {ours.get(place, 'absent')}; "
                f"build it with {_arguments(weights)}"
            )


def _settings(net: nn.Module) -> dict[str, str]:
    """What tensors do not show, by common names; the pool after res2 has no fixed position."""
    renames = NAMINGS["pytorchvideo"].renames(net.state_dict())
    settings = {}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv3d | nn.MaxPool3d | NonLocalBlock):
            place = rename(f"{name}.", renames).rstrip(".")
            place = "pool" if place.startswith("blocks.") else place
            kind = type(module).__name__.removeprefix("Video")  # ours compute what torch's do
            settings[place] = f"{kind}({module.extra_repr()})"
    return settings


def _arguments(weights: Weights) -> str:
    net = dict(weights.net or {})
    names = ("temporal_stride", "stem_pool_padding", "temporal_pool")
    words = [f"model.net.{name}={net[name]}" for name in names if name in net]
    block = dict(net.get("placement", {}).get("block", {}))
    words += [f"model.block.{k}={v}" for k, v in block.items() if not k.startswith("_")]
    return " ".join(words)
