"""Nets in int8: quantised, measured against float32, written and read."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gcvideo.inference.engine import _openvino
from gcvideo.inference.engine._engine import EngineModel, graph_model, relative_error
from gcvideo.inference.engine._quantization import AgreementControl, quantize
from gcvideo.inference.engine._tracing import ClipScorer, GraphError, Run, scorer_of, trace
from gcvideo.models import ClipClassifier

# Of the clips, for measuring, or for control and measuring; the others calibrate.
_MEASURED_SHARE = 1 / 4
_MIN_CLIPS = 4
# Mean over clips of sum_k |p_k - q_k| / 2, beyond which a quantised net has little to do with its original.
_LARGEST_SCORE_DISTANCE = 0.25


def check_control(precision: str, min_agreement: float | None) -> None:
    """Raise ValueError unless a precision is controlled by a share in (0, 1], or by nothing."""
    if min_agreement is None:
        return
    if precision != "int8":
        raise ValueError(
            f"min_agreement is {min_agreement:g} with precision {precision}, but int8 alone is controlled; "
            "leave it out, or use precision=int8"
        )
    if not 0 < min_agreement <= 1:
        raise ValueError(
            f"min_agreement is {min_agreement:g}; give the share of clips that must keep their best class, "
            "such as 0.99"
        )


def quantized_model(
    model: ClipClassifier,
    clips: Sequence[UInt8[Tensor, "3 t h w"]],
    min_agreement: float | None = None,
) -> EngineModel:
    """A model for OpenVINO in int8, for clips of one size; arguments as for :func:`quantized_graph`.

    Its ``record`` is that of the graph.
    """
    return graph_model(*quantized_graph(model, clips, min_agreement))


def quantized_graph(
    model: ClipClassifier,
    clips: Sequence[UInt8[Tensor, "3 t h w"]],
    min_agreement: float | None = None,
) -> tuple[Any, dict[str, Any]]:
    """A net as a graph of OpenVINO in int8, for clips of one size, with its record.

    A quarter of the clips take no part in the calibration; on them, the net is compared with the one in
    float32. The record says how many calibrated, how many of the others got the same best class, how far
    their logits differ (|logits - exact| / |exact - mean|) and their scores move (mean of
    sum_k |p_k - q_k| / 2), and which products stayed in float.

    With ``min_agreement``, half of that quarter controls the quantisation: products return to float, those
    first that move the logits most, until so many of the clips keep their best class. The other half is
    measured.

    Args:
        model: net with normalisation, which stays as it is.
        clips: of one size, of the training and never of a test; some hundreds in any order.
        min_agreement: share of the controlling clips that keep their best class; None: no control.

    Raises:
        GraphError: without the packages, for fewer than 4 clips, if the quantised net has little to do
            with the original, or if it does not agree so often on this processor.
        ValueError: as from :func:`check_control`.
    """
    check_control("int8", min_agreement)
    if len(clips) < _MIN_CLIPS:
        raise GraphError(
            f"precision int8 has {len(clips)} clips to calibrate with; give at least {_MIN_CLIPS} of the "
            "training, better some hundreds"
        )
    num_others = max(1 if min_agreement is None else 2, int(len(clips) * _MEASURED_SHARE))
    calibrating, measured = clips[:-num_others], clips[-num_others:]
    scorer = scorer_of(model)
    num_frames, height, width = clips[0].shape[1:]
    size = num_frames, height, width
    control, controlled = None, {}
    if min_agreement is not None:
        controlling, measured = measured[: num_others // 2], measured[num_others // 2 :]
        best = _logits(scorer, controlling).argmax(-1)
        control = AgreementControl(controlling, best, min_agreement)
    found = quantize(_openvino.translate(trace(scorer, *size)), calibrating, control)
    run = _openvino.prepare(found.graph, "int8", num_threads=torch.get_num_threads(), num_streams=1)
    if control is not None:
        controlled = _controlled(run, control)
    record = {
        "precision": "int8",
        "clip_size": list(size),
        "tool": found.tool,
        "calibration_clips": len(calibrating),
        "products": found.num_products,
        "products_in_float": list(found.in_float),
        **controlled,
        **_agreement(run, scorer, measured),
    }
    if not record["score_distance"] <= _LARGEST_SCORE_DISTANCE:
        raise GraphError(
            f"in int8, the scores of {len(measured)} clips move from those in float32 by "
            f"{record['score_distance']:.2f} in the mean (of 1), more than {_LARGEST_SCORE_DISTANCE}; use "
            "precision=bfloat16 or float32, or calibrate with clips like those to be classified"
        )
    return found.graph, record


@torch.no_grad()
def _logits(
    compute: Run | ClipScorer, clips: Sequence[UInt8[Tensor, "3 t h w"]]
) -> Float[Tensor, "n k"]:
    return torch.cat([compute(clip[None])["logits"] for clip in clips])


def _controlled(run: Run, control: AgreementControl) -> dict[str, float | int]:
    """What the control says of a net that runs; nncf has computed what is not in int8 in float32."""
    same = _logits(run, control.clips).argmax(-1) == control.best
    agreement, asked = float(same.double().mean()), control.min_agreement
    if agreement < asked:
        raise GraphError(
            f"in int8, {agreement:.1%} of {len(same)} clips keep their best class, and min_agreement is "
            f"{asked:g}: what returned to float is computed in the fastest type of this processor; ask for "
            "less, or use precision=bfloat16 or float32"
        )
    return {"controlling_clips": len(same), "controlled_agreement": agreement}


def _agreement(
    run: Run, scorer: ClipScorer, clips: Sequence[UInt8[Tensor, "3 t h w"]]
) -> dict[str, float | int]:
    found, exact = _logits(run, clips), _logits(scorer, clips)
    same = found.argmax(-1) == exact.argmax(-1)
    moved = (found.softmax(-1) - exact.softmax(-1)).abs().sum(-1) / 2
    return {
        "measured_clips": len(clips),
        "top1_agreement": float(same.float().mean()),
        "relative_error": relative_error(found, exact),
        "score_distance": float(moved.mean()),
    }
