"""Going on with a run: its own configuration, its own folder, its last whole checkpoint."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import torch
from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from gcvideo.run.config_folder import config_folder
from gcvideo.training import CHECKPOINT_NAMES

_GROUPS = ("trainer",)
_CHANGEABLE = (
    "num_workers",
    "batch_size",
    "trainer",
    "checkpoint",
    "compile",
    "activation_checkpointing",
    "data.root",
    "data.index",
    "data.time_budget_seconds",
    "data.max_bad_fraction",
)
# Of the trainer, what decides how a run learns.
_FIXED = ("trainer.max_epochs", "trainer.limit_train_batches", "trainer.check_val_every_n_epoch")


class ResumeError(ValueError):
    """A run that cannot be gone on with, or not in this way."""


class ResumePoint(NamedTuple):
    """A whole checkpoint of a run.

    Args:
        path: of the checkpoint.
        step: optimizer steps taken.
        metrics: of the run if it was at its end, else empty.
        unreadable: newer checkpoints that cannot be read, and why.
    """

    path: Path
    step: int
    metrics: dict[str, float]
    unreadable: tuple[str, ...]


def resumed_config(overrides: Sequence[str]) -> DictConfig:
    """The configuration of a run, from its folder, with what may change when it goes on.

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
    wanted = OmegaConf.load(config_folder() / "train.yaml").keys() - {"defaults", "hydra"}
    if missing := sorted(map(str, wanted - cfg.keys())):
        raise ResumeError(
            f"'{path}' lacks {', '.join(missing)}: another version of gcvideo has begun the run; go on with "
            "that version, or start a new run from its weights with weights=checkpoint weights.path=..."
        )
    cfg.resume = cfg.output_dir = str(folder.resolve())
    for override in parsed:
        key = override.key_or_group
        if key == "resume":
            continue
        if key in _GROUPS:
            precision = cfg[key].precision
            cfg[key] = compose("train", [override.input_line or ""])[key]
            cfg[key].precision = precision
            continue
        if not _may_change(key):
            raise ResumeError(
                f"'{key}' is part of what the run in '{folder}' is, so it cannot change on the way; a "
                f"resumed run takes {', '.join(_CHANGEABLE)}: for another recipe start a new run, from "
                "its weights with weights=checkpoint weights.path=..."
            )
        if OmegaConf.select(cfg, key, default=_MISSING) is _MISSING:
            raise ResumeError(
                f"'{key}' is no key of '{path}'; its keys are {', '.join(map(str, cfg))}"
            )
        OmegaConf.update(cfg, key, override.value())
    return cfg


_MISSING = object()


def _may_change(key: str) -> bool:
    return key not in _FIXED and any(key == c or key.startswith(f"{c}.") for c in _CHANGEABLE)


def find_resume_point(folder: Path) -> ResumePoint | None:
    """The newest whole checkpoint of a run; None if it was stopped before its first.

    A checkpoint that cannot be read is passed over for the one before, and named.

    Raises:
        ResumeError: if there are checkpoints but none can be read.
    """
    unreadable = []
    for name in CHECKPOINT_NAMES:
        path = folder / "checkpoints" / name
        if not path.is_file():
            continue
        try:
            content = _read(path)
        except (
            RuntimeError,
            EOFError,
            OSError,
            KeyError,
            BadZipFile,
            pickle.UnpicklingError,
        ) as error:
            unreadable.append(f"'{path}' cannot be read ({str(error).splitlines()[0]})")
            continue
        metrics = content["progress"]["metrics"]
        return ResumePoint(path, content["global_step"], metrics, tuple(unreadable))
    if unreadable:
        raise ResumeError(
            f"no checkpoint of the run can be read: {'; '.join(unreadable)}; start it anew, or from the "
            "weights of its best.ckpt with weights=checkpoint"
        )
    return None


def _read(path: Path) -> dict[str, Any]:
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if missing := {"progress", "loops"} - content.keys():
        raise KeyError(f"it lacks {sorted(missing)}")
    return content
