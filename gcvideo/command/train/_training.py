"""A training from its configuration to its results."""

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from hydra.utils import instantiate
from lightning import Callback, Trainer, seed_everything
from omegaconf import DictConfig, open_dict
from torch import nn

from gcvideo._console import Console
from gcvideo.command._assembly import (
    build,
    build_data,
    build_module,
    build_trainer,
    multigrid_schedule,
    quiet_libraries,
    settle,
)
from gcvideo.command._class_report import baselines
from gcvideo.command._initialization import initialize_net
from gcvideo.command._preflight import (
    batch_bytes,
    check_output_folder,
    check_shared_memory,
    checkpoint_bytes,
)
from gcvideo.command._rank_config import announce_to_children, global_rank
from gcvideo.command._readability import bad_videos_error, unopenable_videos
from gcvideo.command._record import write_config, write_environment, write_json
from gcvideo.command.train._data_record import changed_lists, record_split, write_data_record
from gcvideo.command.train._estimation import given_step_seconds, measure
from gcvideo.command.train._plan import full_batches
from gcvideo.command.train._report import report_end, report_start
from gcvideo.command.train._resuming import ResumePoint, find_resume_point
from gcvideo.command.train._run_folder import begin_run, finished_metrics, held
from gcvideo.command.train._settings import TrainingSettings
from gcvideo.command.train._tuning import tune_batch_size
from gcvideo.data import EvaluationProtocol, MultigridSchedule, VideoDataModule, VideoSplits
from gcvideo.models import Cost, checkpoint_activations, compile_net, count_cost
from gcvideo.training import (
    BadVideos,
    ProgressCheckpoint,
    TrainingStopped,
    VideoClassifier,
    check_group_size,
    evaluation_precision,
)

_CONSOLE = Console()
_Callback = TypeVar("_Callback", bound=Callback)


def train(cfg: DictConfig) -> dict[str, float]:
    """Train as configured by ``conf/train.yaml`` and leave a run folder behind.

    The folder holds ``config.yaml``, ``environment.json``, ``results.json``, logs, checkpoints and
    a picture of the learning curve. Where ``cfg.resume`` names a run folder, ``cfg`` is that of
    :func:`gcvideo.command.resumed_config`, and the run goes on from its last checkpoint. With
    ``cfg.estimate`` the training is only described, and nothing is written.

    Returns:
        Validation metrics of the best and of the last epoch.
    """
    if cfg.estimate is not False or global_rank() > 0:
        return _train(cfg)
    folder = Path(cfg.output_dir)
    with held(folder):
        if cfg.resume is None:
            with open_dict(cfg):
                cfg.run_id = begin_run(folder)
        return _train(cfg)


def run_training(cfg: DictConfig) -> float | None:
    """Train as a command, which ends with the status of the signal that stops it.

    Returns:
        The best top-1 accuracy of the validations: the objective of a sweep.

    Raises:
        SystemExit: if a signal has stopped the training.
    """
    try:
        return train(cfg).get("best_val_top1")
    except TrainingStopped as stopped:
        # The other ranks end quietly, or Lightning would kill the first for their status.
        if global_rank() > 0:
            raise SystemExit(0) from None
        Console(stderr=True).print(str(stopped), soft_wrap=True)
        raise SystemExit(stopped.exit_status) from None


class _Run(NamedTuple):
    settings: TrainingSettings
    splits: VideoSplits
    data: VideoDataModule
    module: VideoClassifier
    cost: Cost


def _train(cfg: DictConfig) -> dict[str, float]:
    """The only reader of the configuration; all others are given what they need of it."""
    started = time.perf_counter()
    folder, is_new = Path(cfg.output_dir), cfg.resume is None
    _prepare_torch(cfg.seed, cfg.num_threads)
    point = None if is_new else find_resume_point(folder, cfg.get("run_id"))
    if point is not None and point.is_finished and (folder / "results.json").is_file():
        return finished_metrics(folder)
    splits: VideoSplits = build(cfg.data)
    changes: list[str] = []
    if not is_new and global_rank() == 0:
        changes = changed_lists(folder, splits, accepts_others=cfg.accept_changed_lists)
    multigrid = multigrid_schedule(cfg)
    lines = settle(cfg, splits, multigrid)
    protocol: EvaluationProtocol = build(cfg.protocol)
    if cfg.tune_batch_size and is_new:
        _tune(cfg, splits, protocol, multigrid)
    settings = TrainingSettings.of(cfg)
    data = build_data(cfg, splits, protocol, multigrid)
    net: nn.Module = build(cfg.model.net)
    if point is None and cfg.weights is not None:
        shape = (2, 3, cfg.num_frames, cfg.crop_size, cfg.crop_size)
        lines += initialize_net(net, build(cfg.weights), splits.classes, shape, seed=cfg.seed)
    module = build_module(cfg, net, splits, protocol, multigrid)
    if cfg.estimate is not False:
        seconds = given_step_seconds(cfg.estimate)
        estimate = measure(cfg.trainer, data, module, crop_size=cfg.crop_size, step_seconds=seconds)
        _CONSOLE.print(estimate.table())
        return {}
    cost = count_cost(net, cfg.num_frames, cfg.crop_size)
    _prepare_net(net, recompute=cfg.activation_checkpointing, compiled=cfg.compile)
    if point is not None and "tensorboard" in cfg.logger:
        cfg.logger.tensorboard.purge_step = point.step
    trainer = build_trainer(cfg)
    full_batches(data, trainer.world_size)
    if settings.batch_norm_mode == "sync":
        check_group_size(settings.batch_norm_group_size, trainer.world_size)
    run = _Run(settings, splits, data, module, cost)
    if trainer.is_global_zero:
        _open_folder(run, trainer, cfg)
        _begin(run, trainer, [*lines, *_describe_resume(settings.resume, point), *changes])
    _fit(run, trainer, point)
    metrics = _collect(trainer)
    if trainer.is_global_zero:
        _write_results(run, trainer, metrics, time.perf_counter() - started)
    return metrics


def _prepare_torch(seed: int, num_threads: int | None) -> None:
    torch.set_float32_matmul_precision("high")
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    seed_everything(seed, workers=False, verbose=False)


def _tune(
    cfg: DictConfig,
    splits: VideoSplits,
    protocol: EvaluationProtocol,
    multigrid: MultigridSchedule | None,
) -> None:
    """Put the largest batch that fits into the configuration."""
    net: nn.Module = build(cfg.model.net)
    module = build_module(cfg, net, splits, protocol, multigrid)
    count_cost(net, cfg.num_frames, cfg.crop_size)  # refuses views that the net cannot compute
    _prepare_net(net, recompute=cfg.activation_checkpointing, compiled=cfg.compile)
    quiet_libraries()
    # Of its own: callbacks and loggers would take the trials for the run.
    trainer: Trainer = instantiate(
        cfg.trainer, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    data = build_data(cfg, splits, protocol, multigrid)
    cfg.batch_size = tune_batch_size(trainer, module, data)
    cfg.tune_batch_size = False
    seed_everything(cfg.seed, workers=False, verbose=False)


def _prepare_net(net: nn.Module, *, recompute: bool, compiled: bool) -> None:
    if recompute:
        checkpoint_activations(net)
    if compiled:
        compile_net(net)


def _open_folder(run: _Run, trainer: Trainer, cfg: DictConfig) -> None:
    """Look at what must fit, and write what says what the run is."""
    settings, folder = run.settings, run.settings.folder
    needed = checkpoint_bytes(
        run.module.model.net, num_moments=settings.num_moments, has_ema=settings.has_ema
    )
    check_output_folder(folder, num_bytes=needed)
    write_data_record(folder, run.splits)
    write_config(folder / "config.yaml", cfg)
    write_environment(folder / "environment.json")
    if run.splits.is_drawn:
        record_split(folder, run.splits)
    announce_to_children(folder / "config.yaml")
    views = settings.batch_size * settings.clips_per_video
    num_bytes = batch_bytes(views, settings.num_frames, settings.crop_size)
    warning = check_shared_memory(num_bytes, run.data.num_workers * trainer.num_devices)
    if warning:
        _CONSOLE.print(f"warning: {warning}", soft_wrap=True)


def _describe_resume(resume: str | None, point: ResumePoint | None) -> list[str]:
    if resume is None:
        return []
    if point is None:
        return [f"resume     '{resume}' has no checkpoint yet: the run starts from its beginning"]
    lines = [f"warning: {reason}; going on from the one before" for reason in point.unreadable]
    return [*lines, f"resume     step {point.step} of '{point.path}'"]


def _begin(run: _Run, trainer: Trainer, lines: Sequence[str]) -> None:
    """Say what the run is, and look at its validation videos now, not after hours of the first epoch."""
    for line in lines:
        _CONSOLE.print(line, soft_wrap=True)
    # As a fit does, for what is said before it.
    run.module.trainer = run.data.trainer = trainer
    trainer.datamodule = run.data  # pyright: ignore[reportAttributeAccessIssue]
    report_start(run.settings, run.data, run.module, trainer, run.cost)
    unopenable = unopenable_videos(run.data.val_videos(), run.data.num_workers)
    if unopenable:
        folder = run.settings.folder
        raise bad_videos_error(unopenable, len(run.splits.val), "validation", folder)


def _fit(run: _Run, trainer: Trainer, point: ResumePoint | None) -> None:
    if point is not None and point.is_finished:
        trainer.fit_loop.max_epochs = point.epoch  # killed before it could write its results
    with warnings.catch_warnings():
        # The data module goes on in the middle of an epoch; Lightning looks for another kind of loader.
        warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that ended")
        if run.settings.resume is not None:
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not")
        try:
            trainer.fit(run.module, run.data, ckpt_path=None if point is None else point.path)
        finally:
            # Of a run that stops in a validation, Lightning ends the workers of that alone.
            trainer.fit_loop.teardown()


def _collect(trainer: Trainer) -> dict[str, float]:
    metrics = {
        f"last_{key.replace('/', '_')}": value
        for key, value in _callback(trainer, ProgressCheckpoint).metrics(trainer).items()
        if key.startswith("val/") or key in ("train/top1_epoch", "train/loss_epoch")
    }
    best = getattr(trainer.checkpoint_callback, "best_model_score", None)
    if best is not None:
        metrics["best_val_top1"] = float(best)
    return metrics


def _callback(trainer: Trainer, kind: type[_Callback]) -> _Callback:
    callbacks: Sequence[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    return next(callback for callback in callbacks if isinstance(callback, kind))


def _write_results(run: _Run, trainer: Trainer, metrics: dict[str, float], seconds: float) -> None:
    settings, splits = run.settings, run.splits
    bad_videos = _callback(trainer, BadVideos)
    interval = trainer.check_val_every_n_epoch or 1
    blind = baselines(splits.val.labels, splits.classes)
    result = {
        "metrics": metrics,
        "baselines": blind,
        "model": settings.model_name,
        "cost": {"parameters": run.cost.num_parameters, "macs_per_view": run.cost.macs},
        "precision": {
            "training": trainer.precision,
            "validation": evaluation_precision(trainer, run.module.precision),
        },
        "protocol": settings.protocol,
        "videos": {"train": len(splits.train), "val": len(splits.val)},
        "bad_videos": {
            "unreadable": bad_videos.num_unreadable,
            "damaged": bad_videos.num_damaged,
        },
        "classes": list(splits.classes),
        "epochs": trainer.current_epoch,
        "last_validated_epoch": trainer.current_epoch // interval * interval,
        "steps": trainer.global_step,
        "seconds": round(seconds, 1),
    }
    write_json(settings.folder / "results.json", result)
    report_end(settings.folder, metrics, blind, seconds)
