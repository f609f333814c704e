"""What the cells of a comparison left behind, put together."""

import csv
import os
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import torch
from omegaconf import DictConfig

import gcvideo
from gcvideo._console import Console
from gcvideo.command._assembly import build
from gcvideo.command._record import git_commit, processor_name
from gcvideo.command._user_error import user_error
from gcvideo.command.compare._cell import is_finished, read_cell
from gcvideo.command.compare._plan import PlannedVariant, cell_folder
from gcvideo.command.compare._request import ComparisonRequest
from gcvideo.command.compare._speed import Speed, measure_speed
from gcvideo.comparison._results import CellResult, Comparison, CurvePoint, VariantResult
from gcvideo.comparison._table import Table, comparison_table
from gcvideo.data import EvaluationProtocol, VideoSplits


def gather(
    request: ComparisonRequest,
    planned: Sequence[PlannedVariant],
    splits: VideoSplits,
    folder: Path,
    *,
    command: str,
    errors: Mapping[str, BaseException],
) -> Comparison:
    """The comparison of all finished cells.

    Args:
        request: names, seeds and baseline.
        planned: the variants with their nets' cost.
        splits: that the cells were trained and tested on.
        folder: of the comparison.
        command: that it was made with.
        errors: by the name of the cell.
    """
    speeds = measure_speed(planned, folder / "speed.json")
    variants, missing = [], []
    for plan in planned:
        cells = []
        for seed in request.seeds:
            cell = cell_folder(folder, plan.variant, seed)
            if is_finished(cell):
                cells.append(_cell(cell, seed))
            else:
                missing.append(_reason(f"{plan.name}, seed {seed}", cell, errors))
        variants.append(_variant(plan, tuple(cells), speeds.get(plan.name)))
    return Comparison(
        title=request.title,
        classes=splits.classes,
        baseline=request.baseline,
        variants=tuple(variants),
        facts=_facts(request, planned[0].cfg, splits, command),
        missing=tuple(missing),
    )


def print_outcome(comparison: Comparison, folder: Path, console: Console) -> None:
    """A short table; the report has all of it."""
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


def _variant(
    plan: PlannedVariant, cells: tuple[CellResult, ...], speed: Speed | None
) -> VariantResult:
    return VariantResult(
        name=plan.name,
        settings={"block": plan.variant.block, **dict(plan.variant.factors)},
        blocks=plan.blocks,
        num_parameters=plan.cost.num_parameters,
        macs=plan.cost.macs,
        ms_per_clip=None if speed is None else speed.ms_per_clip,
        train_ms_per_clip=None if speed is None else speed.train_ms_per_clip,
        peak_bytes=None if speed is None else speed.peak_bytes,
        cells=cells,
    )


def _cell(folder: Path, seed: int) -> CellResult:
    content, labels, scores = read_cell(folder)
    return CellResult(
        seed=seed,
        videos=tuple(content["videos"]),
        labels=labels,
        scores=scores,
        curve=_curve(folder / "csv" / "metrics.csv"),
        probes=content["probes"],
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
        CurvePoint(epoch + 1, *(point.get(key) for key in _CURVE_COLUMNS))
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
    device = "CPU" if cfg.trainer.accelerator == "cpu" else _gpu_name() or "CPU"
    threads = "" if cfg.num_threads is None else f", threads per cell: {cfg.num_threads}"
    return {
        "command": command,
        "date": date.today().isoformat(),
        "machine": f"{processor_name()}, {os.cpu_count()} cores; {device}{threads}",
        "versions": f"gcvideo {gcvideo.__version__} (commit {(git_commit() or 'unknown')[:10]}), "
        f"torch {torch.__version__}",
        "net": f"{request.net}, width {cfg.width}, {cfg.num_frames} frames of {cfg.crop_size} pixels, "
        f"trained in {cfg.trainer.precision}, scored in {cfg.val_precision}",
        "recipe": _recipe(cfg),
        "data": f"{len(splits.train)} training and {len(splits.test)} test videos, "
        f"{len(splits.classes)} classes",
        "protocol": str(protocol),
        "seeds": ", ".join(map(str, request.seeds)),
    }


def _recipe(cfg: DictConfig) -> str:
    return (
        f"{cfg.epochs} epochs, batch {cfg.batch_size} x {cfg.clips_per_video}, "
        f"{cfg.optimizer._target_.rpartition('.')[2]}, lr {cfg.lr:g} per {cfg.base_batch_size}, "
        f"{cfg.scheduler._target_.rpartition('.')[2]} behind {cfg.warmup_epochs:g} epochs of warm-up, "
        f"weight decay {cfg.weight_decay:g}, dropout {cfg.dropout:g}; weights of the last epoch"
    )


def _gpu_name() -> str | None:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
