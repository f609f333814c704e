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
_VALUES = ("Parameter", "Constant", "Convert")
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

    Scales of weights go by output channel. Those of activations come from the ranges that their values
    take in all clips; ranges on both sides of zero are symmetric where that costs nothing (nncf's mixed
    preset). nncf's own choice, the mean of the ranges of the clips, cuts off large values, which are rare
    and matter. The normalisation stays in float: in "motion", what is left of a pixel after its mean is small,
    and would be lost to the rounding of both. Biases are corrected layer by layer for what rounding does to
    the mean of a channel. Under control, the products that move the logits of its clips most return to
    float one after the other, until enough clips keep their best class (nncf's accuracy control).

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
        activations_range_estimator_params=ranges.RangeEstimatorParametersSet.MINMAX
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
    """Of what is left as it is: the normalisation, and products of two activations."""
    products = [
        node.get_friendly_name()
        for node in graph.get_ordered_ops()
        if node.get_type_name() in _PRODUCTS
        and not any(_is_weight(node.input_value(i).get_node()) for i in (0, 1))
    ]
    return [*_names_of_normalization(graph), *products]


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


def _is_weight(node: Any) -> bool:
    while node.get_type_name() in (*_MOVING, "Convert"):
        node = node.input_value(0).get_node()
    return node.get_type_name() == "Constant"


def _is_whole_number(node: Any) -> bool:
    while node.get_type_name() in _SCALING:
        node = node.input_value(0).get_node()
    return node.get_type_name() == "Constant" and not node.get_element_type().is_real()
