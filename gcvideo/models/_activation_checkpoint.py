"""Residual blocks that recompute their activations in the backward pass."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from gcvideo.models._insertion import residual_blocks_of, stages_of


def checkpoint_activations(net: nn.Module) -> None:
    """Keep only the inputs of the residual blocks of a net, and recompute the rest in the backward pass.

    Changes the blocks in place; modules and state-dict keys stay. Gradients, batch statistics and
    dropout are those of a net that keeps everything: the recomputation draws the same random numbers,
    and batch norms use the same statistics of the batch without counting it twice.

    Source: Chen et al., Training Deep Nets with Sublinear Memory Cost (arXiv:1604.06174).

    Raises:
        ValueError: if the net already does so.
    """
    if recomputes_activations(net):
        raise ValueError(
            "the residual blocks already recompute their activations; call checkpoint_activations once"
        )
    for block in _residual_blocks(net):
        block.forward = partial(
            checkpoint,
            block.forward,
            use_reentrant=False,
            context_fn=partial(_contexts, block),
        )


def recomputes_activations(net: nn.Module) -> bool:
    """Whether the net has been changed by ``checkpoint_activations``."""
    return any("forward" in vars(block) for block in _residual_blocks(net))


def _residual_blocks(net: nn.Module) -> list[Any]:
    return [block for stage in stages_of(net).values() for block in residual_blocks_of(stage)]


def _contexts(
    block: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _statistics_kept(block)


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """While open, batch norms update copies of their running statistics."""
    norms = [m for m in block.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [dict(norm.named_buffers()) for norm in norms]
    for norm, buffers in zip(norms, kept, strict=True):
        for name, buffer in buffers.items():
            setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            for name, buffer in buffers.items():
                setattr(norm, name, buffer)
