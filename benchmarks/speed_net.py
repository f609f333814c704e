"""Inference of nets against pytorchvideo's, all that makes ours faster together and each alone."""

from collections.abc import Callable

import numpy as np
import torch
from alternation import measure_steps, require_close
from omegaconf import DictConfig
from speed_model import NETS, build_drawn_net, compose_clip_net, draw_views, make_model, model_words
from speed_setting import BenchmarkSetting, Step, choose_dtype
from speed_table import SpeedTable
from torch import Tensor

from gcvideo.inference._folding import fold_batch_norms, for_inference
from gcvideo.inference._fused_convolution import packable_type
from gcvideo.models import ClipClassifier, compile_net, count_cost

LEGEND = (
    "Per clip, normalisation of raw frames included. Reference: pytorchvideo's net as it is made, in "
    "contiguous memory, in inference mode.",
    "Differences are from the reference in float32: |result - float32| / |float32 - its mean|.",
    "ours achieves: two operations per multiply-accumulate of the net, against a matrix product.",
)
# Of logits, from those in float32; those of unrelated nets would differ by 1.4. bfloat16 keeps eight bits
# through fifty layers.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.3}
# Forms that compute in the type of the reference.
_LAYOUT, _FOLDED, _COMPILED = "layout alone", "folded batch norms alone", "compilation alone"
_UNCHANGED = (_LAYOUT, _FOLDED, _COMPILED)


def benchmark_nets(cfg: DictConfig, setting: BenchmarkSetting, table: SpeedTable) -> None:
    """Lines for the inference of each of ``cfg.models``.

    Raises:
        ValueError: for no or unknown models, or sizes that no net takes.
        UnequalError: if logits differ from the reference's.
    """
    reference_dtype, _ = choose_dtype(cfg.reference_dtype, setting.device)
    for words in model_words(cfg, NETS):
        _compare_inference(words, cfg, setting, reference_dtype, table)


def reference_name(dtype: torch.dtype) -> str:
    """What pytorchvideo's net is called in the table."""
    return f"pytorchvideo, contiguous, {str(dtype).removeprefix('torch.')}"


def _compare_inference(
    words: str,
    cfg: DictConfig,
    setting: BenchmarkSetting,
    reference_dtype: torch.dtype,
    table: SpeedTable,
) -> None:
    net_cfg = compose_clip_net(words, cfg.num_frames, cfg.crop_size)
    net = build_drawn_net(net_cfg)
    views = draw_views(net_cfg, cfg.batch_size, setting.device)

    def form(
        layout: str,
        dtype: torch.dtype = reference_dtype,
        *,
        prepare: Callable[[ClipClassifier], ClipClassifier] = ClipClassifier.eval,
        is_compiled: bool = False,
    ) -> Step:
        model = prepare(make_model(net, net_cfg, layout, setting.device, dtype))
        if is_compiled:
            compile_net(model.net)
        return inference_step(model, views, setting, dtype)

    def packed(model: ClipClassifier) -> ClipClassifier:
        return for_inference(model, packable_type(model, setting.dtype))

    forms = {
        "all together": form("auto", setting.dtype, prepare=packed),
        _LAYOUT: form("auto"),
        _FOLDED: form("contiguous", prepare=fold_batch_norms),
    }
    if setting.dtype != reference_dtype:
        forms[f"{setting.machine()['dtype']} alone"] = form("contiguous", setting.dtype)
    if setting.compiled:
        forms[_COMPILED] = form("contiguous", is_compiled=True)
        forms["all together, compiled"] = form(
            "auto", setting.dtype, prepare=for_inference, is_compiled=True
        )
    reference = form("contiguous")
    exact, theirs = form("contiguous", torch.float32)(), reference()
    notes = {}
    for name, step in forms.items():
        tolerance = TOLERANCE[reference_dtype if name in _UNCHANGED else setting.dtype]
        notes[name] = require_close(f"{words}, {name}", step(), exact, tolerance, theirs=theirs)
    seconds = measure_steps({**forms, "": reference}, setting.rounds, setting.device)
    flops = 2 * count_cost(net, cfg.num_frames, cfg.crop_size).macs
    for name, note in notes.items():
        per_clip = seconds[name] / len(views)
        table.add_times(
            f"{words}, inference, {name}",
            reference_name(reference_dtype),
            per_clip,
            seconds[""] / len(views),
            note=note,
            rate=setting.flop_rate(flops, float(np.median(per_clip))),
        )


def inference_step(
    model: ClipClassifier, views: Tensor, setting: BenchmarkSetting, dtype: torch.dtype
) -> Step:
    """A forward pass in inference mode, which gives the logits."""

    @torch.inference_mode()
    def step() -> tuple[Tensor, ...]:
        with setting.autocast(dtype):
            return (model(views),)

    return step
