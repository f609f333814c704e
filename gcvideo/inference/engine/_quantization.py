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
# What moves values without changing them, what nncf does not look for in a graph, and what scales whole
# numbers of weights.
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
_VALUES = ("Parameter", "Constant", "Convert")
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
    preset). The normalisation stays in float: in "motion", what is left of a pixel after its mean is small,
    and would be lost to the rounding of both. Biases are corrected layer by layer for what rounding does to
    the mean of a channel.

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
            graph,
            inputs,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(clips),
            fast_bias_correction=False,
            ignored_scope=nncf.IgnoredScope(names=_names_of_normalization(graph)),
        )
    products = [node for node in quantized.get_ops() if node.get_type_name() in _PRODUCTS]
    in_float = [node.get_friendly_name() for node in products if not _is_quantized(node)]
    return Quantized(quantized, f"nncf {nncf.__version__}", len(products), tuple(sorted(in_float)))


def _names_of_normalization(graph: Any) -> list[str]:
    """Of all that computes the input of the first product."""
    first = next(node for node in graph.get_ordered_ops() if node.get_type_name() in _PRODUCTS)
    seen, waiting = dict[str, str](), [first.input_value(0).get_node()]
    while waiting:
        node = waiting.pop()
        if node.get_friendly_name() not in seen:
            seen[node.get_friendly_name()] = node.get_type_name()
            waiting += [node.input_value(i).get_node() for i in range(node.get_input_size())]
    return sorted(name for name, kind in seen.items() if kind not in _VALUES)


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
