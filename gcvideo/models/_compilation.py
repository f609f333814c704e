"""Nets translated by ``torch.compile``."""

from typing import Any

import torch
from torch import Tensor, nn

from gcvideo.models._activation_checkpoint import recomputes_activations


def compile_net(net: nn.Module, *, backend: str = "inductor", fullgraph: bool = False) -> None:
    """Let ``torch.compile`` translate a net at its first call, in place: keys and modules stay.

    The size of the batch may vary, other sizes may not: one graph serves all batches of an epoch,
    including a smaller last one, and any number of views. A batch of a single clip, another clip length
    or crop, and evaluation have graphs of their own. Call it before a strategy wraps the net.

    Args:
        net: net of this package.
        backend: name that ``torch.compile`` takes; "inductor" needs a C++ compiler, on GPUs Triton.
        fullgraph: whether code that the compiler cannot follow, as in a block of your own, is an error;
            otherwise it runs uncompiled.

    Raises:
        ValueError: if the net recomputes activations, which the compiler cannot follow.
    """
    if recomputes_activations(net):
        raise ValueError(
            "compile is true and so is activation_checkpointing, but torch.compile cannot follow the "
            "recomputation; set one of them to false"
        )
    for module in net.modules():
        if isinstance(module, nn.Conv3d):
            # Some of pytorchvideo's are NumPy numbers, which the compiler takes for tensors: it would
            # guard each of them, and fail in inference mode, where they change.
            stride: Any = tuple(int(step) for step in module.stride)
            module.stride = stride
    compiled = torch.compile(net._call_impl, backend=backend, fullgraph=fullgraph, dynamic=False)

    def call(clips: Tensor) -> Any:
        torch._dynamo.maybe_mark_dynamic(clips, 0)
        return compiled(clips)

    # Where Module.compile keeps what Module.__call__ runs; copies and state dicts leave it out.
    net._compiled_call_impl = call
