"""Inference of nets by torch, OpenVINO and ONNX Runtime, against pytorchvideo's net and OpenVINO itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from alternation import measure_steps, require_close
from jaxtyping import UInt8
from omegaconf import DictConfig
from speed_model import build_drawn_net, compose_clip_net, draw_views, make_model, model_words
from speed_net import TOLERANCE, inference_step, reference_name
from speed_setting import BenchmarkSetting, Step
from speed_table import SpeedTable
from torch import Tensor

from gcvideo.inference import GraphError, engine_model, quantized_model
from gcvideo.inference._folding import for_inference
from gcvideo.inference._fused_convolution import packable_type
from gcvideo.inference.engine import _openvino
from gcvideo.models import ClipClassifier, count_cost

LEGEND = (
    "Per clip, normalisation of raw frames included. Reference: pytorchvideo's net as it is made, in "
    "contiguous memory and float32; and for openvino a program without gcvideo on the graph of that net.",
    "Differences are from the reference: |result - float32| / |float32 - its mean|; int8 is calibrated with "
    "random clips, so its difference says nothing about trained nets.",
    "ours achieves: two operations per multiply-accumulate of the net, against a matrix product in the type "
    "of the setting.",
)
_NETS = ("slow", "slow_gc placement@model.placement=all")
_TOLERANCES = {
    "float32": TOLERANCE[torch.float32],
    "bfloat16": TOLERANCE[torch.bfloat16],
    "int8": 0.5,
}
_FORMS = (
    *(("torch", "float32"), ("torch", "bfloat16"), ("onnxruntime", "float32")),
    *(("openvino", "float32"), ("openvino", "bfloat16"), ("openvino", "int8")),
)
_NUM_CALIBRATING = 8


def benchmark_engines(cfg: DictConfig, setting: BenchmarkSetting, table: SpeedTable) -> None:
    """Lines for each of ``cfg.models`` in each engine and type that this machine has.

    Raises:
        ValueError: for no or unknown models, sizes that no net takes, or another device than the CPU.
        UnequalError: if logits differ from the reference's.
    """
    if setting.device.type != "cpu":
        raise ValueError(f"device is {setting.device}; engines are compared on the CPU: device=cpu")
    for words in model_words(cfg, _NETS):
        _compare(words, cfg, setting, table)


def _compare(words: str, cfg: DictConfig, setting: BenchmarkSetting, table: SpeedTable) -> None:
    net_cfg = compose_clip_net(words, cfg.num_frames, cfg.crop_size)
    net = build_drawn_net(net_cfg)
    views = draw_views(net_cfg, cfg.batch_size, setting.device)
    plain = make_model(net, net_cfg, "contiguous", setting.device, torch.float32).eval()
    model = make_model(net, net_cfg, "auto", setting.device, torch.float32).eval()
    reference = inference_step(plain, views, setting, torch.float32)
    exact = reference()
    steps, notes = {"": reference}, {}
    for engine, precision in _FORMS:
        form = f"{engine}, {precision}"
        case = f"{words}, {form}"
        try:
            steps[form] = _step(model, engine, precision, views, setting)
        except GraphError as error:
            table.leave_out(case, reference_name(torch.float32), str(error))
            continue
        notes[form] = require_close(case, steps[form](), exact, _TOLERANCES[precision])
        if engine == "openvino" and precision != "int8":
            bare = f"{form}\nbare"
            steps[bare] = _bare_program(plain, precision, views)
            require_close(f"{case}, bare", steps[bare](), exact, _TOLERANCES[precision])
    seconds = measure_steps(steps, setting.rounds, setting.device)
    per_clip = {name: times / len(views) for name, times in seconds.items()}
    flops = 2 * count_cost(net, cfg.num_frames, cfg.crop_size).macs
    for form, note in notes.items():
        rate = setting.flop_rate(flops, float(np.median(per_clip[form])))
        others = {reference_name(torch.float32): "", "openvino itself": f"{form}\nbare"}
        for name, other in others.items():
            if other in per_clip:
                table.add_times(
                    f"{words}, {form}", name, per_clip[form], per_clip[other], note=note, rate=rate
                )


def _step(
    model: ClipClassifier,
    engine: str,
    precision: str,
    views: UInt8[Tensor, "b 1 3 t h w"],
    setting: BenchmarkSetting,
) -> Step:
    if engine == "torch":
        dtype = getattr(torch, precision)
        if dtype not in (torch.float32, setting.dtype):
            raise GraphError(f"{precision} is emulated on this processor")
        return inference_step(
            for_inference(model, packable_type(model, dtype)), views, setting, dtype
        )
    if precision == "int8":
        shape = (_NUM_CALIBRATING, *views.shape[2:])
        generator = torch.Generator().manual_seed(1)
        clips = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
        computed = quantized_model(model, list(clips))
    else:
        computed = engine_model(model, engine, precision)  # pyright: ignore[reportArgumentType]
    return inference_step(computed, views, setting, torch.float32)


def _bare_program(
    plain: ClipClassifier, precision: str, views: UInt8[Tensor, "b 1 3 t h w"]
) -> Callable[[], tuple[Tensor, ...]]:
    """What a user of OpenVINO writes: its own conversion of the net, compiled for the batch at hand."""
    ov: Any = _openvino.openvino()
    with torch.no_grad():
        graph = ov.convert_model(torch.export.export(plain, (views,), strict=False))
    settings = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled = _openvino.core().compile_model(graph, "CPU", settings)
    clips = views.numpy()
    return lambda: (torch.from_numpy(compiled(clips)[0]),)
