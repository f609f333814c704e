"""Training steps of nets against pytorchvideo's, and what blocks add to them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from alternation import measure_steps, require_close
from omegaconf import DictConfig
from speed_model import NETS, build_drawn_net, compose_clip_net, draw_views, make_model, model_words
from speed_net import TOLERANCE, reference_name
from speed_setting import BenchmarkSetting, choose_dtype
from speed_table import SpeedTable
from torch import Tensor, nn

from gcvideo.comparison._step_cost import training_step
from gcvideo.models import compile_net, count_cost, inserted_blocks

LEGEND = (
    "Per clip: forward pass, cross-entropy, backward pass. Reference: pytorchvideo's net as it is made, "
    "in contiguous memory.",
    "Differences are from the reference in float32: |result - float32| / |float32 - its mean|.",
    "ours achieves: six operations per multiply-accumulate of the net (forward pass, gradients of "
    "inputs and of weights), against a matrix product.",
)
# Likewise of gradients: a ReLU that a rounding error switches is a step for what stands in front of
# it, and in bfloat16 nearly all have such errors.
_GRADIENT_TOLERANCE = 0.1


@dataclass(frozen=True)
class _Subject:
    """A net in all the forms in which its steps are timed.

    Args:
        words: its name.
        num_blocks: inserted ones.
        flops: of a step, per clip.
        notes: how equal a form is to the reference, by its name.
    """

    words: str
    num_blocks: int
    flops: float
    notes: Mapping[str, str]


def benchmark_training(cfg: DictConfig, setting: BenchmarkSetting, table: SpeedTable) -> None:
    """Lines for the training steps of each of ``cfg.models`` in each of ``cfg.layouts``.

    All nets take turns with each other, so that what blocks add can be told from one of them.

    Raises:
        ValueError: for no or unknown models or layouts, or sizes that no net takes.
        UnequalError: if logits or gradients differ from the reference's.
    """
    models = model_words(cfg, NETS)
    if not cfg.layouts:
        raise ValueError(f"layouts is {cfg.layouts}; give at least one, such as layouts=[auto]")
    reference_dtype, _ = choose_dtype(cfg.reference_dtype, setting.device)
    steps: dict[str, Callable[[], Any]] = {}
    subjects = [_prepare(words, cfg, setting, reference_dtype, steps) for words in models]
    seconds = measure_steps(steps, setting.rounds, setting.device)
    per_clip = {name: times / cfg.batch_size for name, times in seconds.items()}
    for subject in subjects:
        for form, note in subject.notes.items():
            ours = per_clip[_key(subject.words, form)]
            table.add_times(
                f"{subject.words}, training step, {form}",
                reference_name(reference_dtype),
                ours,
                per_clip[_key(subject.words, "")],
                note=note,
                rate=setting.flop_rate(subject.flops, float(np.median(ours))),
            )
    _add_block_lines(subjects, per_clip, table)


def _prepare(
    words: str,
    cfg: DictConfig,
    setting: BenchmarkSetting,
    reference_dtype: torch.dtype,
    steps: dict[str, Callable[[], Any]],
) -> _Subject:
    """Check the forms of a net against the reference and put their steps beside the others."""
    net_cfg = compose_clip_net(words, cfg.num_frames, cfg.crop_size)
    net = build_drawn_net(net_cfg)
    views = draw_views(net_cfg, cfg.batch_size, setting.device)
    tolerances = {"logits": TOLERANCE[setting.dtype]}
    if setting.dtype == reference_dtype == torch.float32:
        tolerances["gradient"] = _GRADIENT_TOLERANCE

    def add(form: str, layout: str, dtype: torch.dtype, *, is_compiled: bool) -> tuple[Tensor, ...]:
        model = make_model(net, net_cfg, layout, setting.device, dtype).train()
        if is_compiled:
            compile_net(model.net)
        step = training_step(model, views)

        def timed() -> None:
            with setting.autocast(dtype):
                step()

        steps[_key(words, form)] = timed
        with setting.autocast(dtype):
            return _outcome(model, views)

    theirs = exact = add("", "contiguous", reference_dtype, is_compiled=False)
    if reference_dtype != torch.float32:
        model = make_model(net, net_cfg, "contiguous", setting.device, torch.float32).train()
        exact = _outcome(model, views)
    notes = {}
    for layout in cfg.layouts:
        for is_compiled in (False, True) if setting.compiled else (False,):
            form = f"{layout}, compiled" if is_compiled else layout
            results = add(form, layout, setting.dtype, is_compiled=is_compiled)
            notes[form] = ", ".join(
                f"{what} {require_close(f'{words}, {form}, {what}', [a], [b], tolerance, theirs=[c])}"
                for (what, tolerance), a, b, c in zip(
                    tolerances.items(), results, exact, theirs, strict=False
                )
            )
    macs = count_cost(net, cfg.num_frames, cfg.crop_size).macs
    return _Subject(words, len(inserted_blocks(net)), 6.0 * macs, notes)


def _outcome(model: nn.Module, views: Tensor) -> tuple[Tensor, ...]:
    """Logits and the gradient of the first weights, which all others have a part in."""
    logits = model(views).flatten(0, 1).float()
    labels = torch.arange(len(logits), device=views.device)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels), [next(model.parameters())])
    return logits.detach(), gradient


def _add_block_lines(
    subjects: list[_Subject], per_clip: Mapping[str, np.ndarray], table: SpeedTable
) -> None:
    """What blocks cost over the first net without any, in each form."""
    bare = next((subject for subject in subjects if not subject.num_blocks), None)
    for subject in subjects:
        if bare is None or not subject.num_blocks:
            continue
        for form in subject.notes:
            ours, theirs = (per_clip[_key(words, form)] for words in (subject.words, bare.words))
            added = float(np.median(ours) / np.median(theirs)) - 1
            table.add_times(
                f"{subject.words}, training step, {form}",
                f"{bare.words}, {form}",
                ours,
                theirs,
                note=f"{subject.num_blocks} blocks add {added:.1%}",
            )


def _key(words: str, form: str) -> str:
    return f"{words}\n{form}"
