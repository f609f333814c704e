from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from gcvideo.models import inserted_blocks


@contextmanager
def captured_inputs(net: nn.Module) -> Iterator[dict[str, Tensor]]:
    """What each inserted block of a net is given in the forward passes within, by the block's name.

    The (b, c, t, h, w) feature map in front of the block, of the last pass; what a block adds to it is
    ``block(x) - x``.

    Raises:
        ValueError: if the net holds no context block.
    """
    blocks = inserted_blocks(net)
    if not blocks:
        raise ValueError(
            "the net holds no context block, so there is no attention to look at; take a checkpoint of "
            "a model with one, such as model=slow_nl"
        )
    inputs: dict[str, Tensor] = {}

    def keeping(name: str) -> Any:
        def keep(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            inputs[name] = args[0].detach()

        return keep

    handles = [block.module.register_forward_pre_hook(keeping(block.name)) for block in blocks]
    try:
        yield inputs
    finally:
        for handle in handles:
            handle.remove()
