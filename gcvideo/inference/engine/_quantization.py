"""Quantisation of OpenVINO graphs to int8 after training."""

import contextlib
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from gcvideo.inference.engine._openvino import openvino
from gcvideo.inference.engine._tracing import import_packages

_PRODUCTS = ("Convolution", "GroupConvolution", "MatMul", "ScaledDotProductAttention")
# What moves values without changing them, and what scales whole numbers of weights.
_MOVING = (
    "Reshape",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Pad",
    "MaxPool",
    "StridedSlice",
    "Slice",
)
_SCALING = ("Multiply", "Subtract", "Convert", "Reshape")


@dataclass(frozen=True)
class Quantized:
    """A quantised graph.

    Args:
        graph: of OpenVINO.
        tool: what quantised it, with its version.
        num_products: convolutions and matrix products.
        in_float: names of those that stayed in float.
    """

    graph: Any
    tool: str
    num_products: int
    in_float: tuple[str, ...]


def quantize(graph: Any, clips: Sequence[UInt8[Tensor, "3 t h w"]]) -> Quantized:
    """Let convolutions and matrix products compute in int8, scaled by what calibration clips show.

        q = clamp(round(x / s) + z, 0, 255)

    Scales of weights go by output channel. Those of activations come from the ranges that their values
    take in the clips; ranges on both sides of zero are symmetric where that costs nothing (nncf's mixed
    preset).

    Args:
        graph: in float.
        clips: of the training, all of one size.
    """
    install = "pip install gcvideo[openvino]"
    openvino()
    (nncf,) = import_packages("precision int8", ["nncf"], install)
    nncf.set_log_level(logging.ERROR)
    inputs = nncf.Dataset([clip[None].contiguous().numpy() for clip in clips])
    with contextlib.redirect_stdout(io.StringIO()):  # where it draws its progress
        quantized = nncf.quantize(
            graph, inputs, preset=nncf.QuantizationPreset.MIXED, subset_size=len(clips)
        )
    products = [node for node in quantized.get_ops() if node.get_type_name() in _PRODUCTS]
    in_float = [node.get_friendly_name() for node in products if not _is_quantized(node)]
    return Quantized(quantized, f"nncf {nncf.__version__}", len(products), tuple(sorted(in_float)))


def _is_quantized(product: Any) -> bool:
    inputs = [product.input_value(i).get_node() for i in (0, 1)]
    return all(_is_rounded(node) or _is_whole_number(node) for node in inputs)


def _is_rounded(node: Any) -> bool:
    while node.get_type_name() in _MOVING:
        node = node.input_value(0).get_node()
    return node.get_type_name() == "FakeQuantize"


def _is_whole_number(node: Any) -> bool:
    while node.get_type_name() in _SCALING:
        node = node.input_value(0).get_node()
    return node.get_type_name() == "Constant" and not node.get_element_type().is_real()
