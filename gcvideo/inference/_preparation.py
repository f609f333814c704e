"""A trained classifier in the form that an engine computes fastest."""

import copy
from collections.abc import Sequence
from typing import cast, get_args

import torch
from jaxtyping import UInt8
from torch import Tensor

from gcvideo.inference._classifier import TrainedClassifier
from gcvideo.inference._folding import for_inference
from gcvideo.inference._fused_convolution import packable_type
from gcvideo.inference._video import Video, views_of
from gcvideo.inference.engine._engine import Engine, Precision, engine_model
from gcvideo.inference.engine._int8 import check_control, quantized_model
from gcvideo.inference.engine._tracing import GraphError
from gcvideo.models import ClipClassifier, compile_net, precision_type, settle_layout
from gcvideo.nn._choice import check_choice


def prepared_copy(
    classifier: TrainedClassifier,
    *,
    engine: str,
    precision: str,
    calibration: Sequence[Video],
    min_agreement: float | None,
    compile: bool,
) -> TrainedClassifier:
    """A copy for inference; arguments and errors as for :meth:`TrainedClassifier.for_inference`."""
    check_choice("engine", engine, get_args(Engine))
    check_choice("precision", precision, get_args(Precision))
    check_control(precision, min_agreement)
    if compile and engine != "torch":
        raise ValueError(f"compile is for the engine torch; leave it out with {engine}")
    prepared = copy.copy(classifier)
    prepared.is_prepared = True
    if classifier.is_prepared or classifier.engine_model is not None:
        if (engine, precision) != (classifier.engine, classifier.precision) or compile:
            raise ValueError(
                f"engine is {engine}, precision {precision} and compile {compile}, but the net has been "
                f"made for {classifier.engine} in {classifier.precision} already; load the checkpoint that "
                "it was made of"
            )
        return prepared
    if precision == "int8" and not (engine == "openvino" and calibration):
        raise GraphError(
            f"precision is int8 with the engine {engine} and {len(calibration)} videos for calibration; "
            "it needs engine=openvino and videos of the training, or a net that "
            "`gcvideo export CHECKPOINT NAME.xml precision=int8` has written"
        )
    prepared.dtype = torch.float32
    if engine == "torch":
        prepared.dtype = precision_type(precision)
        prepared.model = _torch_model(classifier.model, prepared.dtype, compile)
    elif precision == "int8":
        clips = [_clip(classifier, video) for video in calibration]
        prepared.model = quantized_model(classifier.model, clips, min_agreement)
    else:
        prepared.model = engine_model(classifier.model, cast(Engine, engine), precision)
    return prepared


def _torch_model(model: ClipClassifier, dtype: torch.dtype, compile: bool) -> ClipClassifier:
    prepared = for_inference(model, None if compile else packable_type(model, dtype))
    settle_layout(prepared, model.device, dtype)
    if compile:
        compile_net(prepared.net)
    return prepared


def _clip(classifier: TrainedClassifier, video: Video) -> UInt8[Tensor, "3 t h w"]:
    return views_of(video, classifier.protocol.for_prediction(1, 1))[0]
