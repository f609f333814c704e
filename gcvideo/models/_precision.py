"""The type in which a net computes, whatever the machine and its settings would choose."""

from collections.abc import Iterator
from contextlib import contextmanager
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

    Args:
        dtype: type of the computation.
        device: device that computes.
    """
    kind, enabled = torch.device(device).type, dtype != torch.float32
    # Weights that a surrounding autocast has cast and cached have its type.
    autocast = torch.autocast(kind, dtype, enabled=enabled, cache_enabled=False)
    with _whole_float32(), autocast:
        yield


@contextmanager
def _whole_float32() -> Iterator[None]:
    try:
        products = torch.get_float32_matmul_precision()
        convolutions = torch.backends.cudnn.allow_tf32
    except RuntimeError:
        # The user has set the switches of single operators, and then PyTorch refuses to read these.
        with _whole_float32_by_operator():
            yield
        return
    _set_tensor_float("highest", convolutions=False)
    try:
        yield
    finally:
        _set_tensor_float(products, convolutions=convolutions)


def _set_tensor_float(products: str, *, convolutions: bool) -> None:
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = convolutions


@contextmanager
def _whole_float32_by_operator() -> Iterator[None]:
    backends: Any = torch.backends
    operators = (
        *(backends.cuda.matmul, backends.cudnn.conv),
        *(backends.mkldnn.matmul, backends.mkldnn.conv),
    )
    before = [operator.fp32_precision for operator in operators]
    for operator in operators:
        operator.fp32_precision = "ieee"
    try:
        yield
    finally:
        for operator, precision in zip(operators, before, strict=True):
            operator.fp32_precision = precision
