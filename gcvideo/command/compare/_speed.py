"""How fast the nets of a comparison are on this machine, and what a training step of them takes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig
from torch import Tensor

from gcvideo.command._assembly import build
from gcvideo.command._record import processor_name, write_json
from gcvideo.command.compare._plan import PlannedVariant
from gcvideo.comparison._step_cost import median_milliseconds, peak_bytes, training_step
from gcvideo.data import EvaluationProtocol
from gcvideo.models import ClipClassifier, computing_in, precision_type

_MAX_CLIPS = 8


class Speed(NamedTuple):
    """Of one net.

    Args:
        ms_per_clip: median milliseconds of an inference, per clip, in the precision that nets are scored in.
        train_ms_per_clip: of a forward and a backward pass, in the precision that they are trained in.
        peak_bytes: that such a training step of a batch takes.
    """

    ms_per_clip: float
    train_ms_per_clip: float
    peak_bytes: int


def measure_speed(planned: Sequence[PlannedVariant], path: Path) -> Mapping[str, Speed]:
    """Time the nets in turns, or recall what was measured on this machine before.

    Args:
        planned: the variants; all are measured together, because only times of one run compare.
        path: of the file that keeps the figures; without it they are measured anew.

    Returns:
        Speeds by name of the variant.
    """
    cfg = planned[0].cfg
    uses_gpu = cfg.trainer.accelerator != "cpu" and torch.cuda.is_available()
    device = "cuda" if uses_gpu else "cpu"
    circumstances = {
        "device": torch.cuda.get_device_name() if uses_gpu else processor_name(),
        "num_threads": cfg.num_threads,
        "precision": {"training": cfg.trainer.precision, "inference": cfg.val_precision},
        "clips": min(cfg.batch_size, _MAX_CLIPS),
        "variants": sorted(plan.variant.folder for plan in planned),
    }
    if path.is_file():
        kept = json.loads(path.read_text("utf-8"))
        if kept["circumstances"] == circumstances:
            return {p.name: Speed(**kept["speeds"][p.variant.folder]) for p in planned}
    with _threads(cfg.num_threads):
        speeds = _measure(planned, cfg, device)
    kept = {p.variant.folder: speeds[p.name]._asdict() for p in planned}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"circumstances": circumstances, "speeds": kept})
    return speeds


def _measure(
    planned: Sequence[PlannedVariant], cfg: DictConfig, device: str
) -> Mapping[str, Speed]:
    models = {plan.name: _model(plan.cfg).to(device) for plan in planned}
    views = _views(cfg).to(device)
    with computing_in(precision_type(cfg.val_precision, "val_precision"), device):
        inference = median_milliseconds(models, views)
    with _autocast(cfg, device):
        training = median_milliseconds(models, views, training=True)
        return {
            name: Speed(
                inference[name],
                training[name],
                peak_bytes(training_step(model.train(), views), device),
            )
            for name, model in models.items()
        }


def _model(cfg: DictConfig) -> ClipClassifier:
    protocol: EvaluationProtocol = build(cfg.protocol)
    return ClipClassifier(
        build(cfg.model.net), mean=protocol.mean, std=protocol.std, layout=cfg.layout
    )


def _views(cfg: DictConfig) -> Tensor:
    num_clips = min(cfg.batch_size, _MAX_CLIPS)
    shape = (num_clips, 1, 3, cfg.num_frames, cfg.crop_size, cfg.crop_size)
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _autocast(cfg: DictConfig, device: str) -> AbstractContextManager[Any]:
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(cfg.trainer.precision)
    return nullcontext() if dtype is None else torch.autocast(device, dtype)


@contextmanager
def _threads(num_threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
