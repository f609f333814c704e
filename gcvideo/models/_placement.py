"""Where context blocks sit in a net."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from torch import nn

from gcvideo._family import STAGES, Stage
from gcvideo.nn import Position
from gcvideo.nn._choice import check_choice

Blocks = Literal["all"] | Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Which residual blocks of a ResNet receive a context block, and where inside them.

    "5 blocks" in papers means ``res3=[1, 3], res4=[1, 3, 5]``; "all" in GCNet's Kinetics table means
    every block of res3-res5. ``Placement()`` is the bare net.

    Args:
        block: function that makes a block from its number of channels, such as
            ``partial(global_context, ratio=1/4)``.
        res2: 0-based indices of residual blocks of the stage, or "all"; likewise ``res3`` to ``res5``.
        position: "after_conv3" (on the residual branch, GCNet), "after_add" (on the sum) or
            "after_relu" (behind the residual block, where non-local blocks sit).

    Raises:
        ValueError: if a block is given without a stage or a stage without a block, or the position
            is unknown. Indices are checked against the depth of the net by ``indices``.
    """

    block: Callable[[int], nn.Module] | None = None
    res2: Blocks = ()
    res3: Blocks = ()
    res4: Blocks = ()
    res5: Blocks = ()
    position: Position = "after_conv3"

    def __post_init__(self) -> None:
        check_choice("position", self.position, get_args(Position))
        for stage in STAGES:
            wanted = getattr(self, stage)
            if isinstance(wanted, str) and wanted != "all":
                raise ValueError(f"{stage} is {wanted!r}; give a list of block indices or 'all'")
        if self.block is not None and not self:
            raise ValueError(
                "a block was given but no stage to put it in, so the net would stay bare; name block "
                "indices or 'all' for one of res2, res3, res4, res5, or leave the block out"
            )
        if self.block is None and self:
            raise ValueError(
                "stages were named but no block to put there; give block=..., for example "
                "functools.partial(gcvideo.nn.global_context, ratio=1/4)"
            )

    def __bool__(self) -> bool:
        """Whether any stage is named."""
        return any(len(getattr(self, stage)) for stage in STAGES)

    def indices(self, stage: Stage, num_blocks: int) -> tuple[int, ...]:
        """Sorted block indices in a stage of ``num_blocks`` residual blocks, checked against it."""
        wanted = getattr(self, stage)
        if wanted == "all":
            return tuple(range(num_blocks))
        for index in wanted:
            if not 0 <= index < num_blocks:
                raise ValueError(
                    f"{stage} has no block {index}: it has {num_blocks} blocks at this depth, "
                    f"so valid indices are 0 to {num_blocks - 1}"
                )
        if len(set(wanted)) != len(wanted):
            raise ValueError(f"{stage} names a block twice: {list(wanted)}; name each index once")
        return tuple(sorted(wanted))
