"""Context blocks in a net: where they sit, how they are inserted, and which there are."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gcvideo._family import STAGES, Stage
from gcvideo.models._backbone import Net, ResStage
from gcvideo.nn import ActivationThenBlock, Position, ResidualFusion
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


@dataclass(frozen=True)
class InsertedBlock:
    """One context block of a net: its place and what it costs in parameters."""

    stage: Stage
    index: int
    position: Position
    name: str
    module: nn.Module

    @property
    def kind(self) -> str:
        return type(self.module).__name__

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.module.parameters())


def stages_of(net: nn.Module) -> dict[Stage, ResStage]:
    """The residual stages of a net by name, found by type: I3D and C2D have a pool after res2."""
    stages = [module for module in net.modules() if isinstance(module, ResStage)]
    if len(stages) != len(STAGES):
        raise ValueError(
            f"expected a ResNet with {len(STAGES)} residual stages, found {len(stages)}; "
            "build the net with slow_resnet, i3d_resnet or c2d_resnet"
        )
    return dict(zip(STAGES, stages, strict=True))


def insert_blocks(net: Net, placement: Placement) -> Net:
    """Put context blocks into a built net, in place.

    Existing parameters keep their names. Blocks must be inserted after construction, because
    pytorchvideo's ``Net`` initialises all weights of its children, which would undo a block's identity
    start.

    Raises:
        ValueError: if the net already has blocks or a stage lacks an index of the placement; the net is
            then unchanged.
    """
    if inserted_blocks(net):
        raise ValueError("the net already has context blocks; insert into a bare net")
    if placement.block is None:
        return net
    made = []
    for name, stage in stages_of(net).items():
        residual_blocks = residual_blocks_of(stage)
        for index in placement.indices(name, len(residual_blocks)):
            channels = residual_blocks[index].branch2.conv_c.out_channels
            made.append((residual_blocks[index], placement.block(channels)))
    for residual_block, block in made:
        if placement.position == "after_relu":
            residual_block.activation = ActivationThenBlock(residual_block.activation, block)
        else:
            residual_block.branch_fusion = ResidualFusion(block, placement.position)
    return net


def residual_blocks_of(stage: ResStage) -> list[Any]:
    """Its residual blocks; pytorchvideo does not declare all attributes that it sets, hence Any."""
    return list(cast(Any, stage).res_blocks)


def _seams(net: nn.Module) -> list[tuple[Stage, int, ResidualFusion | ActivationThenBlock]]:
    return [
        (name, index, seam)
        for name, stage in stages_of(net).items()
        for index, residual_block in enumerate(residual_blocks_of(stage))
        for seam in (residual_block.branch_fusion, residual_block.activation)
        if isinstance(seam, ResidualFusion | ActivationThenBlock)
    ]


@contextmanager
def bypassed_blocks(net: nn.Module) -> Iterator[None]:
    """While open, the net computes as if it had no context blocks."""
    seams = [seam for _, _, seam in _seams(net)]
    blocks = [seam.block for seam in seams]
    for seam in seams:
        seam.block = nn.Identity()
    try:
        yield
    finally:
        for seam, block in zip(seams, blocks, strict=True):
            seam.block = block


@torch.inference_mode()
def insertion_effect(net: nn.Module, clips: Float[Tensor, "b 3 t h w"]) -> float:
    """The largest absolute difference that the context blocks of a net make to its logits.

    0 for fresh blocks that add: a trained net is still the same net after their insertion. Computed in
    evaluation mode; the mode of the net is restored.
    """
    was_training = net.training
    net.eval()
    try:
        logits = net(clips)
        with bypassed_blocks(net):
            return (net(clips) - logits).abs().max().item()
    finally:
        net.train(was_training)


def inserted_blocks(net: nn.Module) -> list[InsertedBlock]:
    """The context blocks of a net in order of computation; empty for a bare net."""
    names = {module: name for name, module in net.named_modules()}
    return [
        InsertedBlock(
            stage,
            index,
            seam.position if isinstance(seam, ResidualFusion) else "after_relu",
            names[seam.block],
            seam.block,
        )
        for stage, index, seam in _seams(net)
    ]
