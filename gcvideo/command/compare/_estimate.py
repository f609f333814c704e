"""What a comparison will take, before any of its cells is trained."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gcvideo._duration import duration, step_duration
from gcvideo.command._assembly import build, build_data, build_module
from gcvideo.command.compare._cell import is_finished, launcher_config
from gcvideo.command.compare._plan import PlannedVariant, cell_folder
from gcvideo.command.compare._request import ComparisonRequest
from gcvideo.command.train._estimate_measurement import measure
from gcvideo.command.train._estimation import Estimate, given_step_seconds, memory_size
from gcvideo.comparison._probe import PROBES
from gcvideo.comparison._table import Table
from gcvideo.data import EvaluationProtocol, VideoSplits


@dataclass(frozen=True)
class VariantEstimate:
    """What the cells of a variant will take: one training, then scoring in order and under the probes."""

    name: str
    cell: Estimate
    test_hours: float
    num_open: int
    num_cells: int

    @property
    def cell_hours(self) -> float:
        return self.cell.hours + self.test_hours

    @property
    def hours(self) -> float:
        return self.num_open * self.cell_hours


@dataclass(frozen=True)
class ComparisonEstimate:
    """What a comparison will take under a launcher that runs several cells at a time."""

    variants: Sequence[VariantEstimate]
    launcher: str
    num_parallel: int

    @property
    def hours(self) -> float:
        """Of all cells that are to be trained, one after the other."""
        return sum(variant.hours for variant in self.variants)

    @property
    def elapsed_hours(self) -> float:
        """From start to end, if cells that run at a time do not slow each other down."""
        longest = max((v.cell_hours for v in self.variants if v.num_open), default=0.0)
        return max(longest, self.hours / self.num_parallel)

    def table(self) -> Table:
        header = ("variant", "step", "memory", "one cell", "cells to train", "together")
        rows = (
            (
                variant.name,
                step_duration(variant.cell.step.seconds),
                f"about {memory_size(variant.cell.memory.total + variant.cell.loading.kept_bytes)}",
                duration(3600 * variant.cell_hours),
                f"{variant.num_open} of {variant.num_cells}",
                duration(3600 * variant.hours),
            )
            for variant in self.variants
        )
        return Table(header, tuple(rows))

    def summary(self) -> str:
        """Where the steps were measured, and how long all of it takes under the launcher."""
        num_open = sum(variant.num_open for variant in self.variants)
        together = duration(3600 * self.hours)
        text = f"step: {self.variants[0].cell.step.source}\n{num_open} cells, {together} in all; "
        if self.num_parallel == 1:
            return f"{text}one after the other (launcher {self.launcher})"
        return (
            f"{text}up to {self.num_parallel} at a time (launcher {self.launcher}): about "
            f"{duration(3600 * self.elapsed_hours)} if each has cores or a device of its own"
        )


def estimate_comparison(
    request: ComparisonRequest,
    planned: Sequence[PlannedVariant],
    splits: VideoSplits,
    folder: Path,
) -> ComparisonEstimate:
    """Estimate one cell of each variant; nothing is written."""
    launcher = launcher_config(request, folder).hydra.launcher
    num_parallel = max(1, math.floor(launcher.get("array_parallelism", 1)))  # of SLURM
    if launcher.get("n_jobs") is not None:
        # As joblib counts: -1 is a job per core, -2 leaves one free.
        from joblib import effective_n_jobs  # noqa: PLC0415 (of an optional launcher)

        num_parallel = effective_n_jobs(launcher.n_jobs)
    variants: list[VariantEstimate] = []
    for plan in planned:
        cfg = plan.cfg
        if cfg.num_threads is not None:
            torch.set_num_threads(cfg.num_threads)
        protocol: EvaluationProtocol = build(cfg.protocol)
        data = build_data(cfg, splits, protocol)
        cell = measure(
            cfg,
            data,
            build_module(cfg, build(cfg.model.net), data),
            step_seconds=given_step_seconds(request.estimate),
            loading=variants[0].cell.loading if variants else None,
        )
        test_hours = cell.scoring_hours(
            len(splits.test) * protocol.num_views,
            num_passes=1 + len(PROBES) if protocol.spec.num_frames > 1 else 1,
            area=(protocol.crop_size / cfg.crop_size) ** 2,
        )
        finished = [is_finished(cell_folder(folder, plan.variant, s)) for s in request.seeds]
        num_open, num_cells = finished.count(False), len(finished)
        variants.append(VariantEstimate(plan.name, cell, test_hours, num_open, num_cells))
    return ComparisonEstimate(variants, request.launcher, num_parallel)
