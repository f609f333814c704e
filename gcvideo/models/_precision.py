"""The type in which a net computes, whatever the machine and its settings would choose."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from gcvideo.nn._choice import check_choice

_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def precision_type(name: str, key: str = "precision") -> torch.dtype:
    """The type of that name, "float32", "bfloat16" or "float16"; ValueError names ``key`` for another."""
    check_choice(key, name, _TYPES)
    return _TYPES[name]


@contextmanager
def computing_in(dtype: torch.dtype, device: torch.device | str) -> Iterator[None]:
    """While open, nets with float32 weights compute convolutions and products in one type.

    For float32, surrounding autocast is off. TensorFloat-32, which keeps 10 of the 23 bits of a float32
    and which PyTorch allows for convolutions on GPUs, is off, and restored afterwards. These switches
    belong to the process: other threads compute without it in the meantime.
    """
    kind, enabled = torch.device(device).type, dtype != torch.float32
    # Weights that a surrounding autocast has cast and cached have its type.
    autocast = torch.autocast(kind, dtype, enabled=enabled, cache_enabled=False)
    with ExitStack() as restoring:
        _use_whole_float32(restoring)
        restoring.enter_context(autocast)
        yield


def _use_whole_float32(restoring: ExitStack) -> None:
    backends: Any = torch.backends
    try:
        products, convolutions = torch.get_float32_matmul_precision(), backends.cudnn.allow_tf32
    except RuntimeError:
        # The user has set the switches of single operators, and then PyTorch refuses to read these.
        matmuls, convs = (backends.cuda, backends.mkldnn), (backends.cudnn, backends.mkldnn)
        for operator in (*(b.matmul for b in matmuls), *(b.conv for b in convs)):
            restoring.callback(setattr, operator, "fp32_precision", operator.fp32_precision)
            operator.fp32_precision = "ieee"
        return
    restoring.callback(torch.set_float32_matmul_precision, products)
    restoring.callback(setattr, backends.cudnn, "allow_tf32", convolutions)
    torch.set_float32_matmul_precision("highest")
    backends.cudnn.allow_tf32 = False
