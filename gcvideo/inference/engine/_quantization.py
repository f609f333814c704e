"""Quantisation of OpenVINO graphs to int8 after training."""

import contextlib
import gc
import io
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8
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
_VECTORS = 2  # axes: clips and channels
_VALUES = ("Parameter", "Result", "Constant", "Convert")
_SCALING = ("Multiply", "Subtract", "Convert", "Reshape")


@dataclass(frozen=True)
class AgreementControl:
    """What a quantised graph has to keep.

    Args:
        clips: of the training, none that calibrates.
        best: of each clip, the class with the highest logit in float32.
        min_agreement: share of the clips that keep their best class.
    """

    clips: Sequence[UInt8[Tensor, "3 t h w"]]
    best: Int64[Tensor, " n"]
    min_agreement: float


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


def quantize(
    graph: Any, clips: Sequence[UInt8[Tensor, "3 t h w"]], control: AgreementControl | None = None
) -> Quantized:
    """Let convolutions and matrix products compute in int8, scaled by what calibration clips show.

        q = clamp(round(x / s) + z, 0, 255)

    Scales of weights go by output channel. Those of activations come from histograms of their values in all
    clips, as the ranges that lose least by rounding and cutting off, in squares; ranges on both sides of zero
    are symmetric where that costs nothing (nncf's mixed preset). nncf's own choice, the mean of the ranges
    of the clips, cuts off large values, which are rare and matter; the extremes of all round the others
    more coarsely than needed. Biases are corrected layer by layer for what rounding does to the mean of a
    channel.

    The normalisation stays in float: in "motion", what is left of a pixel after its mean is small, and would
    be lost to the rounding of both. So do the head, whose logits would be rounded, and products with pooled
    vectors, where rounding would save no time.

    Under control, the products that move the logits of its clips most return to float one after the other,
    until enough clips keep their best class (nncf's accuracy control).

    Args:
        graph: in float.
        clips: of the training, all of one size.
        control: None: all products that can be are quantised.
    """
    install = "pip install gcvideo[openvino]"
    openvino()
    names = ["nncf", "nncf.quantization.range_estimator"]
    nncf, ranges = import_packages("precision int8", names, install)
    nncf.set_log_level(logging.ERROR)
    inputs = nncf.Dataset([_batch_of(clip) for clip in clips])
    advanced = nncf.AdvancedQuantizationParameters(
        activations_range_estimator_params=ranges.RangeEstimatorParametersSet.HISTOGRAM
    )
    settings: Any = {
        "preset": nncf.QuantizationPreset.MIXED,
        "subset_size": len(clips),
        "fast_bias_correction": False,
        "ignored_scope": nncf.IgnoredScope(names=_names_in_float(graph)),
    }
    if control is None:
        work = partial(nncf.quantize, graph, inputs, advanced_parameters=advanced, **settings)
    else:
        pairs = list(zip(map(_batch_of, control.clips), control.best.tolist(), strict=True))
        work = partial(
            nncf.quantize_with_accuracy_control,
            graph,
            inputs,
            nncf.Dataset(pairs, transform_func=lambda pair: pair[0]),
            _agreement,
            advanced_quantization_parameters=advanced,
            max_drop=1 - control.min_agreement,
            # Several would compile graphs in threads of their own, on the same cores.
            advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
                num_ranking_workers=1
            ),
            **settings,
        )
    with contextlib.redirect_stdout(io.StringIO()):  # where it draws its progress
        quantized = _in_its_own_thread(work)
    _pool_rounded_values(quantized)
    products = [node for node in quantized.get_ops() if node.get_type_name() in _PRODUCTS]
    in_float = [node.get_friendly_name() for node in products if not _is_quantized(node)]
    return Quantized(quantized, f"nncf {nncf.__version__}", len(products), tuple(sorted(in_float)))


def _in_its_own_thread(work: Callable[[], Any]) -> Any:
    """The result of work that leaves cores of OpenVINO behind.

    nncf makes a core for each net that it tries, and drops the first before the last, whereupon OpenVINO
    gives the thread a stack for signals that is gone: see :func:`_openvino.core`.
    """
    found: Future[Any] = Future()

    def run() -> None:
        try:
            found.set_result(work())
        except BaseException as error:
            found.set_exception(error)
        gc.collect()  # the cores that only cycles hold go here, too

    thread = Thread(target=run, daemon=True)  # Ctrl-C does not wait for it
    thread.start()
    result = found.result()
    thread.join()
    return result


def _batch_of(clip: UInt8[Tensor, "3 t h w"]) -> UInt8[np.ndarray, "1 3 t h w"]:
    return clip[None].contiguous().numpy()


def _agreement(
    compiled: Any, pairs: Iterable[tuple[np.ndarray, int]]
) -> tuple[float, list[list[np.ndarray]]]:
    """Share of the clips whose best class is the expected one, and the logits of each."""
    wanted, logits = [], []
    for clip, best in pairs:
        wanted.append(best)
        logits.append([compiled([clip])["logits"]])
    found = [int(values[0].argmax()) for values in logits]
    return float(np.equal(found, wanted).mean()), logits


def _names_in_float(graph: Any) -> list[str]:
    """Of what is left as it is: the ends of the net, and products of two activations or with vectors."""
    products = [node for node in graph.get_ordered_ops() if node.get_type_name() in _PRODUCTS]
    left = [
        product.get_friendly_name()
        for product in products
        if product.input_value(0).get_partial_shape().rank.get_length() == _VECTORS
        or not any(_is_weight(product.input_value(i).get_node()) for i in (0, 1))
    ]
    pooling = [node.get_friendly_name() for pair in _weighted_sums(graph) for node in pair]
    return [*_names_before(products[0]), *left, *pooling, *_names_from(products[-1])]


def _weighted_sums(graph: Any) -> list[tuple[Any, Any]]:
    """The products and sums of attention pooling."""
    sums = [node for node in graph.get_ordered_ops() if node.get_type_name() == "ReduceSum"]
    pairs = [(node.input_value(0).get_node(), node) for node in sums]
    return [pair for pair in pairs if pair[0].get_type_name() == "Multiply"]


def _pool_rounded_values(graph: Any) -> None:
    """Let attention pooling read the whole numbers that convolutions read, where there are such.

    Its input would otherwise be written in float and rounded in a pass of its own.
    """
    for product, _ in _weighted_sums(graph):
        for i in (0, 1):
            readers = (port.get_node() for port in product.input_value(i).get_target_inputs())
            for rounding in [node for node in readers if node.get_type_name() == "FakeQuantize"]:
                product.input(i).replace_source_output(rounding.output(0))
    graph.validate_nodes_and_infer_types()


def _names_before(first: Any) -> set[str]:
    """Of all that computes the input of the first product, which is the normalisation."""
    return _names_reached(
        first.input_value(0).get_node(),
        lambda node: [node.input_value(i).get_node() for i in range(node.get_input_size())],
    )


def _names_from(last: Any) -> set[str]:
    """Of the last product and all that reads its result, which are the logits and scores."""
    return _names_reached(
        last,
        lambda node: [
            port.get_node() for output in node.outputs() for port in output.get_target_inputs()
        ],
    )


def _names_reached(start: Any, neighbours: Callable[[Any], list[Any]]) -> set[str]:
    seen, waiting = dict[str, str](), [start]
    while waiting:
        node = waiting.pop()
        if node.get_friendly_name() not in seen:
            seen[node.get_friendly_name()] = node.get_type_name()
            waiting += neighbours(node)
    return {name for name, kind in seen.items() if kind not in _VALUES}


def _is_quantized(product: Any) -> bool:
    inputs = [product.input_value(i).get_node() for i in (0, 1)]
    return all(_is_rounded(node) or _is_whole_number(node) for node in inputs)


def _is_rounded(node: Any) -> bool:
    while node.get_type_name() in _MOVING:
        node = node.input_value(0).get_node()
    return node.get_type_name() == "FakeQuantize"


def _is_weight(node: Any) -> bool:
    while node.get_type_name() in (*_MOVING, "Convert"):
        node = node.input_value(0).get_node()
    return node.get_type_name() == "Constant"


def _is_whole_number(node: Any) -> bool:
    while node.get_type_name() in _SCALING:
        node = node.input_value(0).get_node()
    return node.get_type_name() == "Constant" and not node.get_element_type().is_real()
