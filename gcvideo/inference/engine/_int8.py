"""Nets in int8: quantised, measured against float32, written and read."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from gcvideo.inference.engine import _openvino
from gcvideo.inference.engine._engine import EngineModel, graph_model, relative_error
from gcvideo.inference.engine._quantization import quantize
from gcvideo.inference.engine._tracing import ClipScorer, GraphError, Run, scorer_of, trace
from gcvideo.models import ClipClassifier

# Of the clips, for measuring; the others calibrate.
_MEASURED_SHARE = 1 / 4
_MIN_CLIPS = 4
# Mean over clips of sum_k |p_k - q_k| / 2, beyond which a quantised net has little to do with its original.
_LARGEST_SCORE_DISTANCE = 0.25


def quantized_model(
    model: ClipClassifier, clips: Sequence[UInt8[Tensor, "3 t h w"]]
) -> EngineModel:
    """A model for OpenVINO in int8, for clips of one size; arguments as for :func:`quantized_graph`.

    Its ``record`` is that of the graph.
    """
    return graph_model(*quantized_graph(model, clips))


def quantized_graph(
    model: ClipClassifier, clips: Sequence[UInt8[Tensor, "3 t h w"]]
) -> tuple[Any, dict[str, Any]]:
    """A net as a graph of OpenVINO in int8, for clips of one size, with its record.

    A quarter of the clips take no part in the calibration; on them, the net is compared with the one in
    float32. The record says how many calibrated, how many of the others got the same best class, how far
    their logits differ (|logits - exact| / |exact - mean|) and their scores move (mean of
    sum_k |p_k - q_k| / 2), and which products stayed in float.

    Args:
        model: net with normalisation, which stays as it is.
        clips: of one size, of the training and never of a test; some hundreds in any order.

    Raises:
        GraphError: without the packages, for fewer than 4 clips, or if the quantised net has little to
            do with the original.
    """
    if len(clips) < _MIN_CLIPS:
        raise GraphError(
            f"precision int8 has {len(clips)} clips to calibrate with; give at least {_MIN_CLIPS} of the "
            "training, better some hundreds"
        )
    num_measured = max(1, int(len(clips) * _MEASURED_SHARE))
    calibrating, measured = clips[:-num_measured], clips[-num_measured:]
    scorer = scorer_of(model)
    num_frames, height, width = clips[0].shape[1:]
    size = num_frames, height, width
    found = quantize(_openvino.translate(trace(scorer, *size)), calibrating)
    run = _openvino.prepare(found.graph, "int8", num_threads=torch.get_num_threads(), num_streams=1)
    record = {
        "precision": "int8",
        "clip_size": list(size),
        "tool": found.tool,
        "calibration_clips": len(calibrating),
        "products": found.num_products,
        "products_in_float": list(found.in_float),
        **_agreement(run, scorer, measured),
    }
    if not record["score_distance"] <= _LARGEST_SCORE_DISTANCE:
        raise GraphError(
            f"in int8, the scores of {num_measured} clips move from those in float32 by "
            f"{record['score_distance']:.2f} in the mean (of 1), more than {_LARGEST_SCORE_DISTANCE}; use "
            "precision=bfloat16 or float32, or calibrate with clips like those to be classified"
        )
    return found.graph, record


@torch.no_grad()
def _agreement(
    run: Run, scorer: ClipScorer, clips: Sequence[UInt8[Tensor, "3 t h w"]]
) -> dict[str, float | int]:
    found, exact = (
        torch.cat([compute(clip[None])["logits"] for clip in clips]) for compute in (run, scorer)
    )
    same = found.argmax(-1) == exact.argmax(-1)
    moved = (found.softmax(-1) - exact.softmax(-1)).abs().sum(-1) / 2
    return {
        "measured_clips": len(clips),
        "top1_agreement": float(same.float().mean()),
        "relative_error": relative_error(found, exact),
        "score_distance": float(moved.mean()),
    }
