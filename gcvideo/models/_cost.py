"""Parameters and multiply-accumulates of nets."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gcvideo.models._insertion import inserted_blocks


@dataclass(frozen=True)
class BlockCost:
    """Cost of one inserted context block for one view."""

    name: str
    num_parameters: int
    macs: int


@dataclass(frozen=True)
class Cost:
    """Cost of a net for one view of ``num_frames`` x ``crop_size`` x ``crop_size``."""

    num_frames: int
    crop_size: int
    num_parameters: int
    macs: int
    blocks: tuple[BlockCost, ...]

    @property
    def num_block_parameters(self) -> int:
        return sum(block.num_parameters for block in self.blocks)

    @property
    def block_macs(self) -> int:
        return sum(block.macs for block in self.blocks)

    def __str__(self) -> str:
        return (
            f"{self.num_parameters / 1e6:.2f} M parameters, {self.macs / 1e9:.2f} GMACs per view of "
            f"{self.num_frames} x {self.crop_size} x {self.crop_size}"
        )


def count_cost(net: nn.Module, num_frames: int, crop_size: int) -> Cost:
    """Parameters and multiply-accumulates of a net and of each inserted block, for one view.

    Convolutions, linear layers and attention products count, one MAC per multiply-add; element-wise
    work, normalisation and pooling do not. Runs on the meta device, without computing or allocating.
    Papers that print "FLOPs" for video nets mostly mean this number.

    Raises:
        ValueError: if the net's strides leave nothing of such a view.
    """
    inserted = inserted_blocks(net)  # before nets for inference fail less clearly
    try:
        counter = _counted(net, (1, 3, num_frames, crop_size, crop_size))
    except RuntimeError as error:
        if "too small" not in str(error) and "smaller than kernel size" not in str(error):
            raise
        raise ValueError(
            f"the net cannot compute a view of {num_frames} x {crop_size} x {crop_size} (frames, height, "
            "width): nothing is left for one of its pools; raise num_frames or crop_size"
        ) from error
    per_module = counter.get_flop_counts()
    root = type(net).__name__
    return Cost(
        num_frames=num_frames,
        crop_size=crop_size,
        num_parameters=sum(parameter.numel() for parameter in net.parameters()),
        macs=counter.get_total_flops() // 2,
        blocks=tuple(
            BlockCost(
                name=block.name,
                num_parameters=block.num_parameters,
                macs=sum(per_module.get(f"{root}.{block.name}", {}).values()) // 2,
            )
            for block in inserted
        ),
    )


def count_macs(module: nn.Module, shape: Sequence[int]) -> int:
    """Multiply-accumulates of a module for an input of that shape, counted as in :func:`count_cost`."""
    return _counted(module, shape).get_total_flops() // 2


def _counted(module: nn.Module, shape: Sequence[int]) -> FlopCounterMode:
    # Elsewhere, and in other types, the counter would not see the CPU's own attention, and would count
    # the zeros by which other kernels of attention bring queries and values to one width.
    meta = copy.deepcopy(module).to("meta", torch.float32).eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        meta(torch.empty(*shape, device="meta"))
    return counter
