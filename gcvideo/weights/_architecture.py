"""What the tensors of a ResNet show about the net they come from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from gcvideo._family import (
    C2D_KERNELS,
    I3D_KERNELS,
    SLOW_KERNELS,
    STAGE_DEPTHS,
    STAGES,
    Stage,
    TemporalKernels,
)
from gcvideo.weights._state_file import StateDict, WeightsError

_FAMILIES: dict[str, tuple[int, TemporalKernels]] = {
    "slow": (1, SLOW_KERNELS),
    "i3d": (5, I3D_KERNELS),
    "c2d": (1, C2D_KERNELS),
}
_NAMES = {"slow": "Slow", "i3d": "I3D", "c2d": "C2D"}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A bottleneck ResNet as far as names and shapes of its tensors show it.

    Args:
        depth: 50 or 101 layers.
        width: channels of the stem.
        num_classes: K; None for weights without a classifier.
        stem_kernel: length in frames of the first kernel.
        temporal_kernels: length in frames of the first kernel of each residual block of res2-res5.
        blocks: kinds of context blocks by (stage, index) of the residual block.
    """

    depth: int
    width: int
    num_classes: int | None
    stem_kernel: int
    temporal_kernels: tuple[tuple[int, ...], ...]
    blocks: Mapping[tuple[Stage, int], str]

    @property
    def family(self) -> str | None:
        """Slow, i3d or c2d; None for another pattern of temporal kernels."""
        for name, (stem_kernel, patterns) in _FAMILIES.items():
            kernels = tuple(
                tuple(pattern[i % len(pattern)] for i in range(len(stage)))
                for pattern, stage in zip(patterns, self.temporal_kernels, strict=True)
            )
            if (stem_kernel, kernels) == (self.stem_kernel, self.temporal_kernels):
                return name
        return None

    @property
    def placement(self) -> dict[Stage, list[int]]:
        """Indices of the residual blocks with a context block, by stage."""
        indices: dict[Stage, list[int]] = {}
        for stage, index in sorted(self.blocks):
            indices.setdefault(stage, []).append(index)
        return indices

    def __str__(self) -> str:
        family = _NAMES.get(self.family or "", "ResNet with temporal kernels of its own")
        kinds = " and ".join(sorted(set(self.blocks.values())))
        places = ", ".join(f"{stage} {indices}" for stage, indices in self.placement.items())
        blocks = f" with {kinds} blocks in {places}" if self.blocks else ""
        width = "" if self.width == 64 else f" of width {self.width}"
        return f"{family} R{self.depth}{width}{blocks}"


def architecture_of(common: StateDict) -> Architecture:
    """The architecture of tensors under their common names (:mod:`gcvideo.weights._naming`)."""
    depths = tuple(
        len({m[1] for key in common if (m := re.match(rf"{stage}\.(\d+)\.branch2\.", key))})
        for stage in STAGES
    )
    depth = next((d for d, counts in STAGE_DEPTHS.items() if counts == depths), None)
    stem = common.get("stem.conv.weight")
    if depth is None or stem is None or stem.ndim != 5:
        raise WeightsError(
            f"the weights have {list(depths)} residual blocks in res2-res5; a bottleneck ResNet has "
            + " or ".join(f"{list(counts)} ({d} layers)" for d, counts in STAGE_DEPTHS.items())
        )
    places: list[tuple[Stage, int]] = [
        (stage, i) for stage, count in zip(STAGES, depths, strict=True) for i in range(count)
    ]
    for stage, i in places:
        frames = _kernel(common, stage, i, "b").shape[2]
        if frames > 1:
            raise WeightsError(
                f"the 3x3 kernels of {stage}.{i} extend over {frames} frames; this package's nets have "
                "their temporal kernels in the first convolution of a residual block (3x1x1)"
            )
    head = common.get("head.proj.weight")
    return Architecture(
        depth=depth,
        width=stem.shape[0],
        num_classes=None if head is None else head.shape[0],
        stem_kernel=stem.shape[2],
        temporal_kernels=tuple(
            tuple(_kernel(common, stage, i, "a").shape[2] for i in range(count))
            for stage, count in zip(STAGES, depths, strict=True)
        ),
        blocks={place: kind for place in places if (kind := _block_kind(common, *place))},
    )


def _kernel(common: StateDict, stage: Stage, index: int, conv: str) -> Tensor:
    key = f"{stage}.{index}.branch2.conv_{conv}.weight"
    if key not in common or common[key].ndim != 5:
        raise WeightsError(f"the weights lack the kernel {key}; they are incomplete")
    return common[key]


def _block_kind(common: StateDict, stage: Stage, index: int) -> str | None:
    prefix = f"{stage}.{index}.block."
    leaves = {
        key.removeprefix(prefix).partition(".")[0] for key in common if key.startswith(prefix)
    }
    if not leaves:
        return None
    if "g" in leaves:
        return "non-local"
    return "context" if leaves & {"mask", "add_transform", "mul_transform"} else "other"
