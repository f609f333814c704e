"""A net that another program computes, in place of the one of PyTorch."""

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gcvideo.inference.engine import _openvino
from gcvideo.inference.engine._onnx import open_onnx, require_onnxruntime, write_onnx
from gcvideo.inference.engine._tracing import ClipScorer, GraphError, Run, scorer_of, trace
from gcvideo.models import ClipClassifier

Engine = Literal["torch", "openvino", "onnxruntime"]
"""The program that computes a net."""
Precision = Literal["float32", "bfloat16", "float16", "int8"]
"""The type in which convolutions and products are computed."""
ClipSize = tuple[int, int, int]
"""Frames, height and width."""
Open = Callable[[ClipSize, int, int], Run]
"""Makes a net ready for clips of a size, with so many threads in so many streams."""

# |logits - exact| / |exact - mean| on random clips, beyond which a program computes another net.
_TOLERANCES = {"float32": 1e-3, "bfloat16": 0.3, "float16": 0.05}


# What a ClipClassifier has beside its logits.
_OF_TORCH = ("net", "mean", "std", "normalization", "layout", "memory_format")


class EngineModel(ClipClassifier):
    """A net that another program computes: uint8 views of videos in, logits out.

        logits_bv = program(views_bv)

    The program runs on the CPU, with as many threads as torch. It has logits only: no features, maps or
    gradients. A net is made ready for each size of clips when the first of them come.

    Args:
        engine: name of the program.
        precision: type of its products.
        open_graph: function that makes the net ready.
        record: what is known of the net beside its engine and type, to be written with results.
    """

    def __init__(
        self, engine: str, precision: str, open_graph: Open, record: dict[str, Any] | None = None
    ) -> None:
        nn.Module.__init__(self)  # there are no modules and constants of torch
        self.engine, self.precision = engine, precision
        self.record = record or {}
        self.num_streams = 1
        self._open, self._lock = cache(open_graph), threading.Lock()
        self.eval()

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def __getattr__(self, name: str) -> Any:
        if name in _OF_TORCH:
            raise GraphError(
                f"a net in {self.engine} has logits only; features, maps of attention and further training "
                "need the checkpoint that it was made of, with engine=torch"
            )
        return super().__getattr__(name)

    def extra_repr(self) -> str:
        return f"{self.engine}, {self.precision}"

    @contextmanager
    def in_streams(self, num_streams: int) -> Iterator[None]:
        """Within, so many threads call the model at the same time and share torch's threads."""
        self.num_streams, before = num_streams, self.num_streams
        self._num_threads = torch.get_num_threads()
        try:
            yield
        finally:
            self.num_streams = before

    def forward(self, views: UInt8[Tensor, "b v 3 t h w"]) -> Float[Tensor, "b v k"]:
        num_threads = torch.get_num_threads() if self.num_streams == 1 else self._num_threads
        with self._lock:
            num_frames, height, width = views.shape[3:]
            run = self._open((num_frames, height, width), num_threads, self.num_streams)
        return run(views.flatten(0, 1).cpu())["logits"].unflatten(0, views.shape[:2])


def engine_model(model: ClipClassifier, engine: Engine, precision: str) -> EngineModel:
    """A model for another program to compute; the model itself stays as it is.

    Whether the program computes the same net is checked on random clips of each size before its first
    result: |logits - exact| / |exact - mean|, with ``exact`` in float32 from PyTorch.

    Args:
        model: net with normalisation.
        engine: "openvino" or "onnxruntime".
        precision: type of its products; OpenVINO has "float32" and, where the processor computes in them,
            "bfloat16" and "float16"; ONNX Runtime has "float32". For "int8" see
            :func:`~gcvideo.inference.engine._int8.quantized_model`.

    Raises:
        GraphError: for a missing package or another type, or, at the first clips of a size, for a net that
            the program cannot compute.
    """
    scorer = scorer_of(model)
    if engine == "openvino":
        _openvino.require_type(precision)
        graph = cache(lambda size: _openvino.translate(trace(scorer, *size)))

        def open_graph(size: ClipSize, num_threads: int, num_streams: int) -> Run:
            return _openvino.prepare(
                graph(size), precision, num_threads=num_threads, num_streams=num_streams
            )
    else:
        if precision != "float32":
            raise GraphError(
                f"precision is {precision}, but the engine onnxruntime computes our nets in float32; use "
                "engine=openvino"
            )
        require_onnxruntime()

        def open_graph(size: ClipSize, num_threads: int, num_streams: int) -> Run:
            with tempfile.TemporaryDirectory(prefix="gcvideo-") as folder:
                path = Path(folder) / "net.onnx"
                write_onnx(trace(scorer, *size), "", path)
                return open_onnx(path, max(1, num_threads // num_streams))

    def open_checked(size: ClipSize, num_threads: int, num_streams: int) -> Run:
        run = open_graph(size, num_threads, num_streams)
        _check(run, scorer, size, f"{engine}, {precision}", _TOLERANCES[precision])
        return run

    return EngineModel(engine, precision, open_checked)


def graph_model(graph: Any, record: Mapping[str, Any]) -> EngineModel:
    """The model of a graph of OpenVINO that is made for clips of one size.

    Args:
        graph: as it was traced, or quantised.
        record: precision and clip_size (frames, height, width), with whatever else is known of it.

    Raises:
        GraphError: if the processor does not compute in its type, or later for clips of another size.
    """
    precision, made_for = record["precision"], tuple(record["clip_size"])
    if precision != "int8":
        _openvino.require_type(precision)

    def open_graph(size: ClipSize, num_threads: int, num_streams: int) -> Run:
        if size != made_for:
            raise GraphError(
                f"the net in {precision} is made for clips of {_shown(made_for)}, and these have "
                f"{_shown(size)}; ask for views of that size, or export it again with crop_size={size[-1]}"
            )
        return _openvino.prepare(graph, precision, num_threads=num_threads, num_streams=num_streams)

    return EngineModel("openvino", precision, open_graph, dict(record))


def _shown(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))


def relative_error(logits: Tensor, exact: Tensor) -> float:
    """The distance |logits - exact| / |exact - mean(exact)|."""
    return float((logits - exact).norm() / (exact - exact.mean()).norm())


@torch.no_grad()
def _check(run: Run, scorer: ClipScorer, size: ClipSize, name: str, tolerance: float) -> None:
    generator = torch.Generator().manual_seed(0)
    clips = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=generator)
    error = relative_error(run(clips)["logits"], scorer(clips)["logits"])
    if not error <= tolerance:  # also true for NaN
        raise GraphError(
            f"{name}: the logits of random clips of {_shown(size)} differ from those of torch in "
            f"float32 by {error:.1e} of their spread, more than {tolerance:.0e}; use engine=torch, and "
            "report it"
        )
