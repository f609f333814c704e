"""What a comparison will train, checked before the first training starts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from gcvideo._hint import override
from gcvideo.command._assembly import build, settle
from gcvideo.command.compare._cell import Job, is_finished
from gcvideo.command.compare._request import ComparisonRequest
from gcvideo.command.compare._variant import BARE, Variant
from gcvideo.command.configuration._command_words import search_path
from gcvideo.command.configuration._composition import block_words
from gcvideo.command.configuration._value_rule import items_of
from gcvideo.data import VideoSplits
from gcvideo.models import STAGES, Cost, count_cost, inserted_blocks

# Keys that may differ from those of an earlier command line for the same cell.
_FREE = (
    "report",
    "figures",
    "resume",
    "run_id",
    "logger.tensorboard.purge_step",
    "num_workers",
    "frame_cache_gb",
    "output_dir",
    "data.root",
    "trainer.enable_progress_bar",
)


class PlannedVariant(NamedTuple):
    """A variant whose net has been built and inspected, with the configuration of its first cell.

    Blocks read like "res3.1 ContextBlock after_conv3"; the cost is that of one view.
    """

    name: str
    variant: Variant
    cfg: DictConfig
    blocks: tuple[str, ...]
    cost: Cost


def block_arguments(net: str, block: str, search: Sequence[str] = ()) -> frozenset[str]:
    """The arguments that ``model/NET_BLOCK.yaml`` gives its block; ``search`` adds folders of such files."""
    try:
        return frozenset(map(str, compose("train", [f"model={net}_{block}", *search]).model.block))
    except HydraException as error:
        known = ", ".join(["none", *block_words(net, search_path(search))])
        raise ValueError(
            f"there is no model '{net}_{block}' for block={block}; choose among {known}, or write a block of "
            f"your own as block/{block}.yaml and model/{net}_{block}.yaml in a folder that --config-dir names"
        ) from error


def plan_variants(
    request: ComparisonRequest, splits: VideoSplits, folder: Path
) -> list[PlannedVariant]:
    """Build every net once, and check that it has the blocks that were asked for."""
    planned = []
    seed = request.seeds[0]
    for name, variant in zip(request.names, request.variants, strict=True):
        cell = cell_folder(folder, variant, seed)
        cfg = compose("train", cell_overrides(request, variant, seed, cell))
        settle(cfg, splits)
        if cfg.trainer.devices not in (1, "1") or cfg.trainer.num_nodes != 1:
            raise ValueError(
                f"trainer.devices is {cfg.trainer.devices} on {cfg.trainer.num_nodes} nodes, but a cell "
                "trains on one device; leave trainer at auto or cpu, and run several cells at a time with "
                "launcher=joblib or launcher=submitit"
            )
        net = build(cfg.model.net)
        blocks = inserted_blocks(net)
        if bool(blocks) != (variant.block != BARE):
            asked = "no block" if variant.block == BARE else f"the block '{variant.block}'"
            raise ValueError(
                f"the variant '{name}' asks for {asked}, but its net has {len(blocks)} inserted blocks; "
                "check conf/model and the overrides of model.placement"
            )
        shown = tuple(f"{b.stage}.{b.index} {b.kind} {b.position}" for b in blocks)
        cost = count_cost(net, cfg.num_frames, cfg.crop_size)
        planned.append(PlannedVariant(name, variant, cfg, shown, cost))
    return planned


def cell_folder(folder: Path, variant: Variant, seed: int) -> Path:
    """The folder of a cell, which does not depend on the name of its variant in the table."""
    return folder / "cells" / variant.folder / f"seed{seed}"


def cell_overrides(
    request: ComparisonRequest, variant: Variant, seed: int, folder: Path
) -> list[str]:
    """Words for ``conf/train.yaml``: the recipe, the variant, the seed and the folder."""
    return [
        *variant.overrides(request.net),
        *request.recipe,
        f"seed={seed}",
        "trainer.enable_progress_bar=false",
        override("output_dir", folder),
    ]


def open_jobs(
    request: ComparisonRequest, planned: Sequence[PlannedVariant], folder: Path
) -> tuple[list[Job], int]:
    """The unfinished cells, seed by seed, and the number of finished ones."""
    jobs, num_finished = [], 0
    for seed in request.seeds:
        for plan in planned:
            cell = cell_folder(folder, plan.variant, seed)
            if (cell / "config.yaml").is_file():
                cfg = plan.cfg.copy()
                cfg.seed, cfg.output_dir = seed, str(cell)
                _check_same(cell, cfg)
            if is_finished(cell):
                num_finished += 1
            else:
                (cell / "failure.txt").unlink(missing_ok=True)
                overrides = cell_overrides(request, plan.variant, seed, cell)
                jobs.append(Job(f"{plan.name}, seed {seed}", cell, overrides))
    return jobs, num_finished


def _check_same(folder: Path, cfg: DictConfig) -> None:
    before, now = (
        {
            k: v
            for k, v in items_of(c, resolve=True)
            if (not isinstance(v, dict) or not v) and not _is_empty_stage(k, v)
        }
        for c in (OmegaConf.load(folder / "config.yaml"), cfg)
    )
    was_in = str(before["output_dir"])  # of a comparison that has been moved since
    before = {
        key: value.replace(was_in, str(folder)) if isinstance(value, str) else value
        for key, value in before.items()
    }
    free = _FREE
    if cfg.early_stopping is None and not cfg.batch_norm.precise_batches:
        free += ("trainer.check_val_every_n_epoch",)  # a cell is tested by its last epoch
    changed = [
        f"{key} was {before.get(key)}, is {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and key not in free
    ]
    if changed:
        raise ValueError(
            f"the cell in '{folder}' was begun by another recipe: {'; '.join(changed[:3])}"
            f"{' and more' if len(changed) > 3 else ''}; give the comparison another folder=..., or delete "
            "this one"
        )


def _is_empty_stage(key: str, value: Any) -> bool:
    """Whether a placement says that a stage has no blocks, as it does by leaving the stage out."""
    *_, group, name = ("", *key.split("."))
    return group == "placement" and name in STAGES and value == []
