"""Parameter names in the files of other code bases, and the common names in between.

The common name of a parameter tells its place, whatever the position of the stages in a net:

    stem.{conv,norm}.*    head.proj.*
    res{2-5}.{i}.{branch1_conv, branch1_norm, branch2.conv_{a,b,c}, branch2.norm_{a,b,c}, block}.*

where ``block`` is the context block of residual block i. Kernels are 5-D, the matrices of context
blocks 2-D. Sources: the code that builds or loads the files (PyTorchVideo, PySlowFast and its
``c2_model_loading``, mmaction2, torchvision, mmdetection with GCNet's plugin).
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from gcvideo.nn._choice import check_choice
from gcvideo.weights._rename_table import (
    CAFFE2,
    CONTEXT_BLOCK,
    MMACTION2,
    PYSLOWFAST,
    TORCHVISION,
    Renames,
)
from gcvideo.weights._state_file import StateDict, WeightsError

Inflation = Literal["mean", "centre"]

_NORM = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
_COMMON = re.compile(
    rf"stem\.(conv\.weight|norm\.{_NORM})|head\.proj\.(weight|bias)|res[2-5]\.\d+\.("
    rf"branch1_conv\.weight|branch1_norm\.{_NORM}|branch2\.conv_[abc]\.weight|branch2\.norm_[abc]\.{_NORM}"
    r"|block\.[\w.]+)"
)
_SEAMS = (".branch_fusion.block.", ".activation.block.")


@dataclass(frozen=True)
class Naming:
    """Names of one code base."""

    name: str
    signature: str
    """A key that all its files have."""
    renames: Callable[[Iterable[str]], Renames]
    """For the keys of a file, pieces of names and their replacements, applied in order."""
    ignored: tuple[str, ...] = ()
    """Patterns (fnmatch) of keys that a net does not need."""


def _pytorchvideo(keys: Iterable[str]) -> Renames:
    """By the positions of the stages: C2D and I3D have a pool behind res2."""
    positions = stage_positions(keys)
    return (
        *((f"blocks.{p}.res_blocks.", f"res{r}.") for r, p in enumerate(positions, 2)),
        ("blocks.0.", "stem."),
        *((f"blocks.{p + 1}.", "head.") for p in positions[-1:]),
        *((seam, ".block.") for seam in _SEAMS),
    )


_DETECTOR = ("neck.*", "rpn_head.*", "roi_head.*", "bbox_head.*", "mask_head.*")
_CAFFE2_STATE = ("*_momentum", "lr", "model_iter")
NAMINGS = {
    naming.name: naming
    for naming in (
        # Ignored are buffers of the classifier in checkpoints of this package.
        Naming("pytorchvideo", "blocks.0.conv.weight", _pytorchvideo, ("mean", "std")),
        Naming("pyslowfast", "s1.pathway0_stem.conv.weight", lambda keys: PYSLOWFAST),
        Naming("caffe2", "conv1_w", lambda keys: CAFFE2, _CAFFE2_STATE),
        Naming("mmaction2", "backbone.conv1.conv.weight", lambda keys: MMACTION2),
        Naming("torchvision", "conv1.weight", lambda keys: TORCHVISION),
        Naming("mmdetection", "backbone.conv1.weight", lambda keys: TORCHVISION, _DETECTOR),
    )
}


def stage_positions(keys: Iterable[str]) -> list[int]:
    """Positions of res2-res5 among the ``blocks`` of a net with pytorchvideo's names."""
    return sorted({int(m[1]) for k in keys if (m := re.match(r"blocks\.(\d+)\.res_blocks\.", k))})


def detect_naming(keys: Iterable[str]) -> Naming:
    """The code base that these names come from."""
    keys = set(keys)
    if any("pathway1_" in key for key in keys):
        raise WeightsError(
            "these are the weights of a SlowFast net with two pathways; this package only has its slow "
            "pathway: choose weights of a Slow, I3D or C2D net"
        )
    for naming in NAMINGS.values():
        if naming.signature in keys:
            return naming
    names = ", ".join(sorted(keys)[:3])
    raise WeightsError(
        f"the names of these {len(keys)} tensors ({names}, ...) are those of no known code base; known "
        f"are {', '.join(NAMINGS)}: rename the keys to one of them"
    )


def to_common(source: StateDict, naming: Naming) -> dict[str, Tensor]:
    """The tensors of a file under their common names; ignored ones keep theirs."""
    renames = naming.renames(source)
    common: dict[str, Tensor] = {}
    unknown = []
    for key, value in source.items():
        if is_ignored(key, naming):
            common[key] = value
            continue
        name = rename(key, renames)
        if _COMMON.fullmatch(name) is None:
            unknown.append(key)
        elif name in common:
            raise WeightsError(f"two tensors of the weights become '{name}', one of them {key!r}")
        else:
            common[name] = _in_common_form(name, value)
    if unknown:
        raise WeightsError(
            f"{unknown[0]!r} is not a parameter of a bottleneck ResNet of {naming.name}"
            f"{f', nor are {len(unknown) - 1} others' if unknown[1:] else ''}; this package has Slow, I3D "
            "and C2D nets with 50 or 101 layers and their context blocks"
        )
    return common


def is_ignored(key: str, naming: Naming) -> bool:
    """Whether a net does not need this key of a file."""
    return any(fnmatchcase(key, pattern) for pattern in naming.ignored)


def rename(key: str, renames: Renames) -> str:
    """Replace pieces of a name, in order."""
    for old, new in renames:
        key = key.replace(old, new)
    return key


def context_block_to_common(source: StateDict) -> dict[str, Tensor]:
    """The tensors of a block of GCNet, mmcv or timm under the names of our context block.

    Its 1x1 convolutions become linear layers, the same function.
    """
    converted = {}
    for key, value in source.items():
        name = rename(key, CONTEXT_BLOCK)
        if name == key:
            raise WeightsError(
                f"{key!r} is not a parameter of a context block of GCNet, mmcv or timm; give the state dict of "
                "the block alone, whose names start with conv_mask, channel_ or conv_attn, mlp_"
            )
        converted[name] = _in_common_form(f".block.{name}", value)
    return converted


def from_common(common: StateDict, target: StateDict) -> dict[str, Tensor]:
    """Tensors under the names of a net of ours, whose state dict is ``target``; other names stay."""
    places = [(name, ours) for ours, name in _pytorchvideo(target) if ours not in _SEAMS]
    named = {}
    for key, value in common.items():
        for name, ours in places:
            if key.startswith(name):
                key = ours + key.removeprefix(name)
        # Without a block in the net, any name is unexpected.
        seamed = [key.replace(".block.", seam, 1) for seam in _SEAMS]
        named[next((k for k in seamed if k in target), seamed[0])] = value
    return named


def _in_common_form(name: str, value: Tensor) -> Tensor:
    if ".block." in name:
        # 1x1 convolutions on pooled vectors or positions are linear layers; LayerNorm over (c, 1, 1)
        # is one over c.
        return value.flatten() if value.ndim == 3 else value.flatten(1) if value.ndim > 3 else value
    return value.unsqueeze(2) if value.ndim == 4 else value


IMAGE_NAMINGS = ("torchvision", "mmdetection")
_IMAGE_HEADS = ("fc.*", "head.projection.*")
IGNORED = _IMAGE_HEADS + tuple(pattern for naming in NAMINGS.values() for pattern in naming.ignored)


def convert_state_dict(
    source: StateDict, target: StateDict, *, inflation: Inflation | None = None
) -> dict[str, Tensor]:
    """Tensors of another code base under our names and in our shapes.

    Args:
        source: tensors in the naming of any known code base.
        target: state dict of the net to be filled; its names show the places of stages and blocks.
        inflation: kind of inflation of the kernels of an image net to their length in ``target``; its
            classifier keeps its name, because it knows no actions. None: ``source`` is of a net for
            videos.

    Raises:
        WeightsError: for a key that is not a parameter of a bottleneck ResNet.
    """
    naming = detect_naming(source)
    if inflation is None:
        return from_common(to_common(source, naming), target)
    head = {k: v for k, v in source.items() if any(fnmatchcase(k, p) for p in _IMAGE_HEADS)}
    trunk = {k: v for k, v in source.items() if k not in head}
    named = from_common(to_common(trunk, naming), target)
    for key, value in named.items():
        longer = target.get(key)
        if longer is not None and value.ndim == longer.ndim == 5 and value.shape[2] == 1:
            named[key] = inflate_kernel(value[:, :, 0], longer.shape[2], inflation)
    return head | named


def inflate_kernel(
    kernel: Float[Tensor, "o i h w"], num_frames: int, inflation: Inflation = "mean"
) -> Float[Tensor, "o i t h w"]:
    """A 2-D kernel over time.

        mean:    w3d_t = w2d / T            centre:    w3d_t = w2d if t = (T - 1) / 2 else 0

    On a video of identical frames, away from its ends, a convolution with the first gives the 2-D
    result; with the second it gives that of each frame, in any video.
    Source: "mean" Carreira and Zisserman, I3D (arXiv:1705.07750); "centre" Feichtenhofer et al.,
    Spatiotemporal Residual Networks (arXiv:1611.02155).
    """
    check_choice("inflation", inflation, get_args(Inflation))
    if inflation == "mean":
        return kernel.unsqueeze(2).repeat(1, 1, num_frames, 1, 1) / num_frames
    inflated = torch.zeros(*kernel.shape[:2], num_frames, *kernel.shape[2:], dtype=kernel.dtype)
    inflated[:, :, num_frames // 2] = kernel
    return inflated
