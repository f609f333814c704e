"""Resuming a run: its own configuration, its own folder, its last whole checkpoint."""

import pickle
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast
from zipfile import BadZipFile

import torch
from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from gcvideo._hint import override
from gcvideo.command.configuration._composition import config_folder
from gcvideo.command.configuration._value_rule import check_values
from gcvideo.training import CHECKPOINT_NAMES, num_batches_seen

# Keys of a trainer file that say where a run is computed, not how it learns.
_PLACE = ("accelerator", "devices", "num_nodes", "strategy")
_CHANGEABLE = (
    "num_workers",
    "frame_cache_gb",
    "batch_size",
    "trainer",
    "checkpoint",
    "compile",
    "activation_checkpointing",
    "data.root",
    "data.index",
    "data.time_budget_seconds",
    "data.max_bad_fraction",
    "accept_changed_lists",
)
# Keys of the trainer that decide how a run learns, and which of its epochs is best.
_FIXED = (
    "trainer.max_epochs",
    "trainer.limit_train_batches",
    "trainer.limit_val_batches",
    "trainer.check_val_every_n_epoch",
)

# Paths in the configurations of older runs, and the present ones.
_MOVED = {
    "gcvideo.data.multigrid.Multigrid": "gcvideo.data.Multigrid",
    "gcvideo.models.NetChoice": "gcvideo.weights.NetChoice",
    "gcvideo.models.checkpoint_weights": "gcvideo.weights.checkpoint_weights",
    "gcvideo.models.published_weights": "gcvideo.weights.published_weights",
    "gcvideo.run.sweep_summary.SweepSummary": "gcvideo.command.SweepSummary",
}
_SHARDED = ("gcvideo.training.ShardedStrategy", "gcvideo.training.sharding.ShardedStrategy")
_MISSING = object()
# What torch raises for a file that is cut off or damaged.
_UNREADABLE = (RuntimeError, EOFError, OSError, KeyError, BadZipFile, pickle.UnpicklingError)


class ResumeError(ValueError):
    """A run that cannot be resumed, or not in this way."""


class ResumePoint(NamedTuple):
    """A whole checkpoint of a run."""

    path: Path
    step: int  # optimizer steps taken
    epoch: int  # epochs completed
    is_finished: bool  # after all epochs or an early stop
    unreadable: tuple[str, ...]  # newer checkpoints that cannot be read, and why


def resumed_config(overrides: Sequence[str]) -> DictConfig:
    """The configuration of a run, from its folder, with what may change when it goes on.

    A file of the group trainer, such as ``trainer=ddp``, changes where the run is computed: devices and
    strategy. Values such as ``trainer.devices=4`` are set after it, in any order of words.

    Args:
        overrides: words of the command line, with ``resume=RUN_DIR`` among them.

    Raises:
        ResumeError: if there is no run, or an override would make it another one.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    folder = Path(str(next(o for o in parsed if o.key_or_group == "resume").value()))
    path = folder / "config.yaml"
    if not path.is_file():
        raise ResumeError(
            f"resume is '{folder}', where there is no config.yaml; give the folder of a run, such as "
            "resume=runs/demo_i3d_gc/DATE"
        )
    cfg = OmegaConf.load(path)
    assert isinstance(cfg, DictConfig)
    cfg = _follow_moves(cfg)
    wanted = OmegaConf.load(config_folder() / "train.yaml").keys() - {"defaults", "hydra"}
    if missing := sorted(map(str, wanted - cfg.keys())):
        raise ResumeError(
            f"'{path}' lacks {', '.join(missing)}: another version of gcvideo began the run; continue with "
            "that version, or start a new run from its weights with weights=checkpoint weights.path=..."
        )
    cfg.resume = cfg.output_dir = str(folder.resolve())
    cfg.accept_changed_lists = False  # what was accepted once is what the run knows
    before = cfg.copy()
    words = [word for word in parsed if word.key_or_group != "resume"]
    # Its values are set after a file of the group trainer, in any order of words.
    for word in sorted(words, key=lambda word: word.key_or_group != "trainer"):
        if word.key_or_group == "trainer":
            trainer = compose("train", [word.input_line or ""]).trainer
            content: Any = OmegaConf.to_container(trainer, resolve=False)
            for name in _PLACE:
                # Not merged into a strategy with other arguments.
                OmegaConf.update(cfg, f"trainer.{name}", content[name], merge=False)
        else:
            _change(cfg, word, folder)
    if OmegaConf.select(cfg, "trainer.strategy._target_") in _SHARDED:
        raise ResumeError(
            f"the run in '{folder}' was trained with trainer=fsdp, which this version no longer has; its "
            "checkpoints hold whole weights, so go on with trainer=ddp and as many devices: "
            f"{shlex.quote(override('resume', folder))} trainer=ddp"
        )
    check_values(cfg, before)
    return cfg


def _follow_moves(cfg: DictConfig) -> DictConfig:
    """Replace old paths of classes and functions by their present ones."""

    def follow(node: Any) -> Any:
        if isinstance(node, list):
            return [follow(value) for value in node]
        if isinstance(node, dict):
            return {
                key: _MOVED.get(value, value) if key == "_target_" else follow(value)
                for key, value in node.items()
            }
        return node

    moved = OmegaConf.create(follow(OmegaConf.to_container(cfg, resolve=False)))
    OmegaConf.set_struct(moved, OmegaConf.is_struct(cfg))
    return cast(DictConfig, moved)


def _change(cfg: DictConfig, word: Override, folder: Path) -> None:
    key = word.key_or_group
    may_change = any(key == c or key.startswith(f"{c}.") for c in _CHANGEABLE)
    if key in _FIXED or not may_change:
        raise ResumeError(
            f"'{key}' defines the run in '{folder}', so it cannot change; a "
            f"resumed run takes {', '.join(_CHANGEABLE)}: for another recipe start a new run, from "
            "its weights with weights=checkpoint weights.path=..."
        )
    if OmegaConf.select(cfg, key, default=_MISSING) is _MISSING:
        raise ResumeError(
            f"'{key}' is no key of '{folder / 'config.yaml'}'; its keys are {', '.join(map(str, cfg))}"
        )
    OmegaConf.update(cfg, key, word.value())


def find_resume_point(folder: Path, run_id: str | None) -> ResumePoint | None:
    """The newest whole checkpoint of a run; None if it was stopped before its first.

    A checkpoint that cannot be read is passed over for the one before, and named. ``run_id`` is what
    the run was given when it began.
    """
    unreadable = []
    for name in CHECKPOINT_NAMES:
        path = folder / "checkpoints" / name
        if not path.is_file():
            continue
        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            if missing := {"progress", "loops", "gcvideo"} - content.keys():
                raise KeyError(f"it lacks {sorted(missing)}")
        except _UNREADABLE as error:
            unreadable.append(f"'{path}' cannot be read ({str(error).splitlines()[0]})")
            continue
        if content["gcvideo"]["config"].get("run_id") != run_id:
            raise ResumeError(
                f"'{path}' is of another run than '{folder / 'config.yaml'}'; move away what does not belong "
                "to the run"
            )
        return ResumePoint(
            path,
            content["global_step"],
            num_batches_seen(content["loops"]["fit_loop"])[0],
            content["progress"]["finished"],
            tuple(unreadable),
        )
    if unreadable:
        raise ResumeError(
            f"no checkpoint of the run can be read: {'; '.join(unreadable)}; start it anew, or from the "
            "weights of its best.ckpt with weights=checkpoint"
        )
    return None
