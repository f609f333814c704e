"""What the cells of a comparison left behind, put together with the speed of their nets."""

import csv
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

import gcvideo
from gcvideo._console import Console
from gcvideo.command._assembly import build
from gcvideo.command._device import device_of
from gcvideo.command._record import git_commit, processor_name, write_json
from gcvideo.command._user_error import user_error
from gcvideo.command.compare._cell import is_finished, read_cell
from gcvideo.command.compare._plan import PlannedVariant, cell_folder
from gcvideo.command.compare._request import ComparisonRequest
from gcvideo.comparison._results import CellResult, Comparison, CurvePoint, VariantResult
from gcvideo.comparison._step_cost import median_milliseconds, peak_bytes, training_step
from gcvideo.comparison._table import Table, comparison_table
from gcvideo.data import EvaluationProtocol, VideoSplits
from gcvideo.inference import clip_classifier
from gcvideo.models import computing_in, precision_type

_MAX_CLIPS = 8


def gather(
    request: ComparisonRequest,
    planned: Sequence[PlannedVariant],
    splits: VideoSplits,
    folder: Path,
    *,
    command: str,
    errors: Mapping[str, BaseException],
) -> Comparison:
    """The comparison of all finished cells; the report shows the command and, by cell, its errors."""
    speeds = measure_speed(planned, folder / "speed.json")
    variants, missing = [], []
    for plan in planned:
        cells = []
        for seed in request.seeds:
            cell = cell_folder(folder, plan.variant, seed)
            if is_finished(cell):
                content, labels, scores = read_cell(cell)
                curve = _curve(cell / "csv" / "metrics.csv")
                videos = tuple(content["videos"])
                cells.append(CellResult(seed, videos, labels, scores, curve, content["probes"]))
            else:
                missing.append(_reason(f"{plan.name}, seed {seed}", cell, errors))
        variants.append(
            VariantResult(
                name=plan.name,
                settings={"block": plan.variant.block, **dict(plan.variant.factors)},
                blocks=plan.blocks,
                num_parameters=plan.cost.num_parameters,
                macs=plan.cost.macs,
                **speeds[plan.variant.folder],
                cells=tuple(cells),
            )
        )
    return Comparison(
        title=request.title,
        classes=splits.classes,
        baseline=request.baseline,
        variants=tuple(variants),
        facts=_facts(request, planned[0].cfg, splits, command),
        missing=tuple(missing),
        groups=splits.groups,
    )


def print_outcome(comparison: Comparison, folder: Path, console: Console) -> None:
    """Print a short table; the report has everything."""
    table = comparison_table(comparison)
    places = [table.header.index(name) for name in _ON_SCREEN if name in table.header]
    rows = [tuple(row[place] for place in places) for row in (table.header, *table.rows)]
    console.print(Table(rows[0], tuple(rows[1:])).on_screen())
    for line in comparison.missing:
        console.print(f"missing: {line}", soft_wrap=True)
    console.print(f"report in {folder / 'report.html'}", soft_wrap=True)


_ON_SCREEN = (
    *("variant", "top-1 (%)", "difference (points)", "Holm p", "parameters (M)"),
    *("MACs per view (G)", "ms per clip"),
)


def _curve(path: Path) -> tuple[CurvePoint, ...]:
    if not path.is_file():
        return ()
    points: dict[int, dict[str, float]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row.get("epoch"):
                point = points.setdefault(int(row["epoch"]), {})
                point |= {key: float(row[key]) for key in _CURVE_COLUMNS if row.get(key)}
    return tuple(
        CurvePoint(epoch, *(point.get(key) for key in _CURVE_COLUMNS))
        for epoch, point in sorted(points.items())
        if point
    )


_CURVE_COLUMNS = ("train/loss_epoch", "val/top1")


def _reason(name: str, folder: Path, errors: Mapping[str, BaseException]) -> str:
    if name in errors:
        return f"{name}: {user_error(errors[name]) or repr(errors[name])}"
    failure = folder / "failure.txt"
    if failure.is_file():
        return f"{name}: {failure.read_text('utf-8').strip()}"
    return f"{name}: not finished"


def _facts(
    request: ComparisonRequest, cfg: DictConfig, splits: VideoSplits, command: str
) -> dict[str, str]:
    protocol: EvaluationProtocol = build(cfg.protocol)
    device = torch.cuda.get_device_name() if device_of(cfg.trainer) == "cuda" else "CPU"
    threads = "" if cfg.num_threads is None else f", threads per cell: {cfg.num_threads}"
    return {
        "command": command,
        "date": date.today().isoformat(),
        "machine": f"{processor_name()}, {os.cpu_count()} cores; {device}{threads}",
        "versions": f"gcvideo {gcvideo.__version__} (commit {(git_commit() or 'unknown')[:10]}), "
        f"torch {torch.__version__}",
        "net": f"{request.net}, width {cfg.width}, {cfg.num_frames} frames of {cfg.crop_size} pixels, "
        f"trained in {cfg.trainer.precision}, scored in {cfg.val_precision}",
        "recipe": f"{cfg.epochs} epochs, batch {cfg.batch_size} x {cfg.clips_per_video}, "
        f"{cfg.optimizer._target_.rpartition('.')[2]}, lr {cfg.lr:g} per {cfg.base_batch_size}, "
        f"{cfg.scheduler._target_.rpartition('.')[2]} after {cfg.warmup_epochs:g} epochs of warm-up, "
        f"weight decay {cfg.weight_decay:g}, dropout {cfg.dropout:g}; weights of the last epoch",
        "data": f"{len(splits.train)} training and {len(splits.test)} test videos, "
        f"{len(splits.classes)} classes",
        "protocol": str(protocol),
        "seeds": ", ".join(map(str, request.seeds)),
    }


def measure_speed(planned: Sequence[PlannedVariant], path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Time the nets in turns, or reuse the times that a file has of the same variants on this machine.

    By folder of the variant: median milliseconds of an inference and of a training step, and the memory
    of such a step, each in the precision that nets are scored and trained in. All are measured together,
    because only times of one run can be compared.
    """
    cfg = planned[0].cfg
    device = device_of(cfg.trainer)
    circumstances = {
        "device": torch.cuda.get_device_name() if device == "cuda" else processor_name(),
        "num_threads": cfg.num_threads,
        "precision": {"training": cfg.trainer.precision, "inference": cfg.val_precision},
        "clips": min(cfg.batch_size, _MAX_CLIPS),
        "variants": sorted(plan.variant.folder for plan in planned),
    }
    if path.is_file():
        kept = json.loads(path.read_text("utf-8"))
        if kept["circumstances"] == circumstances:
            return kept["speeds"]
    num_threads = torch.get_num_threads()
    torch.set_num_threads(cfg.num_threads or num_threads)
    try:
        speeds = _measure(planned, cfg, device)
    finally:
        torch.set_num_threads(num_threads)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"circumstances": circumstances, "speeds": speeds})
    return speeds


def _measure(
    planned: Sequence[PlannedVariant], cfg: DictConfig, device: str
) -> Mapping[str, Mapping[str, Any]]:
    models = {}
    for plan in planned:
        protocol: EvaluationProtocol = build(plan.cfg.protocol)
        net = build(plan.cfg.model.net)
        models[plan.variant.folder] = clip_classifier(net, protocol, cfg.layout).to(device)
    num_clips = min(cfg.batch_size, _MAX_CLIPS)
    shape = (num_clips, 1, 3, cfg.num_frames, cfg.crop_size, cfg.crop_size)
    generator = torch.Generator().manual_seed(0)
    views = torch.randint(256, shape, dtype=torch.uint8, generator=generator).to(device)
    with computing_in(precision_type(cfg.val_precision, "val_precision"), device):
        inference = median_milliseconds(models, views)
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(cfg.trainer.precision)
    with nullcontext() if dtype is None else torch.autocast(device, dtype):
        training = median_milliseconds(models, views, training=True)
        peaks = {n: peak_bytes(training_step(m.train(), views), device) for n, m in models.items()}
    found = {"ms_per_clip": inference, "train_ms_per_clip": training, "peak_bytes": peaks}
    return {name: {key: values[name] for key, values in found.items()} for name in models}
