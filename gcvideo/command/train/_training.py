import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from hydra.utils import instantiate
from lightning import Callback, Trainer, seed_everything
from omegaconf import DictConfig, OmegaConf

from gcvideo._console import Console
from gcvideo.command._assembly import build, build_data, build_module, build_trainer, settle
from gcvideo.command._class_report import baselines
from gcvideo.command._initialization import initialize_net
from gcvideo.command._preflight import (
    batch_bytes,
    check_output_folder,
    check_shared_memory,
    checkpoint_bytes,
)
from gcvideo.command._quiet import quiet_libraries
from gcvideo.command._rank_config import announce_to_children, global_rank
from gcvideo.command._readability import bad_videos_error, unopenable_videos
from gcvideo.command._record import write_config, write_environment, write_json
from gcvideo.command.train._data_record import changed_lists, write_data_record
from gcvideo.command.train._estimation import estimate
from gcvideo.command.train._report import report_end, report_start
from gcvideo.command.train._resuming import ResumePoint, find_resume_point
from gcvideo.command.train._run_folder import begin_run, finished_metrics, held
from gcvideo.command.train._split_record import record_split
from gcvideo.command.train._tuning import tune_batch_size
from gcvideo.data import EvaluationProtocol, VideoDataModule, VideoSplits
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
    with held(Path(cfg.output_dir)):
        if cfg.resume is None:
            begin_run(cfg)
        return _train(cfg)


def _train(cfg: DictConfig) -> dict[str, float]:
    started = time.perf_counter()
    folder = Path(cfg.output_dir)
    _prepare_torch(cfg)
    point = None if cfg.resume is None else find_resume_point(folder, cfg.get("run_id"))
    if point is not None and point.is_finished and (folder / "results.json").is_file():
        return finished_metrics(folder)
    splits: VideoSplits = build(cfg.data)
    is_compared = cfg.resume is not None and global_rank() == 0
    changes = changed_lists(cfg, splits) if is_compared else []
    settled = settle(cfg, splits)
    protocol: EvaluationProtocol = build(cfg.protocol)
    if cfg.tune_batch_size and cfg.resume is None:
        _tune(cfg, splits, protocol)
    data = build_data(cfg, splits, protocol)
    is_new = point is None
    net, start = initialize_net(cfg, splits.classes) if is_new else (build(cfg.model.net), [])
    module = build_module(cfg, net, splits, protocol)
    if cfg.estimate is not False:
        estimate(cfg, data, module)
        return {}
    run = _Run(cfg, splits, protocol, data, module, _count_and_prepare(cfg, module))
    trainer = _begin(run, point, [*settled, *start, *_describe_resume(cfg, point), *changes])
    _fit(run, trainer, point)
    metrics = _collect(trainer)
    if trainer.is_global_zero:
        _write_results(run, trainer, metrics, time.perf_counter() - started)
    return metrics


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
        console = Console(stderr=True)
        console.print(str(stopped), soft_wrap=True)
        raise SystemExit(stopped.exit_status) from None


def _prepare_torch(cfg: DictConfig) -> None:
    torch.set_float32_matmul_precision("high")
    if cfg.num_threads is not None:
        torch.set_num_threads(cfg.num_threads)
    seed_everything(cfg.seed, workers=False, verbose=False)


class _Run(NamedTuple):
    cfg: DictConfig
    splits: VideoSplits
    protocol: EvaluationProtocol
    data: VideoDataModule
    module: VideoClassifier
    cost: Cost


def _tune(cfg: DictConfig, splits: VideoSplits, protocol: EvaluationProtocol) -> None:
    """Put the largest batch that fits into the configuration."""
    module = build_module(cfg, build(cfg.model.net), splits, protocol)
    _count_and_prepare(cfg, module)
    quiet_libraries()
    # Of its own: callbacks and loggers would take the trials for the run.
    trainer: Trainer = instantiate(
        cfg.trainer, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    cfg.batch_size = tune_batch_size(trainer, module, build_data(cfg, splits, protocol))
    cfg.tune_batch_size = False
    seed_everything(cfg.seed, workers=False, verbose=False)


def _begin(run: _Run, point: ResumePoint | None, lines: Sequence[str]) -> Trainer:
    """The trainer, once the folder is open and all is said and looked at that need not wait."""
    cfg = run.cfg
    if point is not None and "tensorboard" in cfg.logger:
        cfg.logger.tensorboard.purge_step = point.step
    trainer = build_trainer(cfg)
    if cfg.batch_norm.mode == "sync":
        check_group_size(cfg.batch_norm.group_size, trainer.world_size)
    if trainer.is_global_zero:
        _open_folder(run, trainer)
        for line in lines:
            _CONSOLE.print(line, soft_wrap=True)
        # As a fit does, for what is said before it.
        run.module.trainer = run.data.trainer = trainer
        trainer.datamodule = run.data  # pyright: ignore[reportAttributeAccessIssue]
        report_start(cfg, run.splits, run.protocol, run.module, trainer, run.cost)
        # Now, not after hours of the first epoch.
        unopenable = unopenable_videos(run.data.val_videos(), run.data.num_workers)
        if unopenable:
            num_listed = len(run.splits.val)
            raise bad_videos_error(unopenable, num_listed, "validation", Path(cfg.output_dir))
    return trainer


def _fit(run: _Run, trainer: Trainer, point: ResumePoint | None) -> None:
    if point is not None and point.is_finished:
        trainer.fit_loop.max_epochs = point.epoch  # killed before it could write its results
    with warnings.catch_warnings():
        # The data module goes on in the middle of an epoch; Lightning looks for another kind of loader.
        warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that ended")
        if run.cfg.resume is not None:
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not")
        try:
            trainer.fit(run.module, run.data, ckpt_path=None if point is None else point.path)
        finally:
            # Of a run that stops in a validation, Lightning ends the workers of that alone.
            trainer.fit_loop.teardown()


def _count_and_prepare(cfg: DictConfig, module: VideoClassifier) -> Cost:
    net = module.model.net
    cost = count_cost(net, cfg.num_frames, cfg.crop_size)
    if cfg.activation_checkpointing:
        checkpoint_activations(net)
    if cfg.compile:
        compile_net(net)
    return cost


def _open_folder(run: _Run, trainer: Trainer) -> None:
    cfg, folder = run.cfg, Path(run.cfg.output_dir)
    num_moments = 2 if "adam" in cfg.optimizer._target_.lower() else 1
    needed = checkpoint_bytes(
        run.module.model.net, num_moments=num_moments, has_ema=cfg.ema is not None
    )
    check_output_folder(folder, num_bytes=needed)
    write_data_record(folder, run.splits)
    write_config(folder / "config.yaml", cfg)
    write_environment(folder / "environment.json")
    if run.splits.is_drawn:
        record_split(folder, run.splits)
    announce_to_children(folder / "config.yaml")
    views = cfg.batch_size * cfg.clips_per_video
    num_bytes = batch_bytes(views, cfg.num_frames, cfg.crop_size)
    warning = check_shared_memory(num_bytes, run.data.num_workers * trainer.num_devices)
    if warning:
        _CONSOLE.print(f"warning: {warning}", soft_wrap=True)


def _write_results(run: _Run, trainer: Trainer, metrics: dict[str, float], seconds: float) -> None:
    cfg, folder = run.cfg, Path(run.cfg.output_dir)
    bad_videos = _callback(trainer, BadVideos)
    interval = trainer.check_val_every_n_epoch or 1
    blind = baselines(run.splits.val.labels, run.splits.classes)
    result = {
        "metrics": metrics,
        "baselines": blind,
        "model": cfg.model.name,
        "cost": {"parameters": run.cost.num_parameters, "macs_per_view": run.cost.macs},
        "precision": {
            "training": trainer.precision,
            "validation": evaluation_precision(trainer, run.module.precision),
        },
        "protocol": OmegaConf.to_container(cfg.protocol, resolve=True),
        "videos": {"train": len(run.splits.train), "val": len(run.splits.val)},
        "bad_videos": {
            "unreadable": bad_videos.num_unreadable,
            "damaged": bad_videos.num_damaged,
        },
        "classes": list(run.splits.classes),
        "epochs": trainer.current_epoch,
        "last_validated_epoch": trainer.current_epoch // interval * interval,
        "steps": trainer.global_step,
        "seconds": round(seconds, 1),
    }
    write_json(folder / "results.json", result)
    report_end(folder, metrics, blind, seconds)


def _describe_resume(cfg: DictConfig, point: ResumePoint | None) -> list[str]:
    if cfg.resume is None:
        return []
    if point is None:
        return [
            f"resume     '{cfg.resume}' has no checkpoint yet: the run starts from its beginning"
        ]
    lines = [f"warning: {reason}; going on from the one before" for reason in point.unreadable]
    return [*lines, f"resume     step {point.step} of '{point.path}'"]


def _collect(trainer: Trainer) -> dict[str, float]:
    metrics = {
        f"last_{key.replace('/', '_')}": value
        for key, value in _callback(trainer, ProgressCheckpoint).metrics(trainer).items()
        if key.startswith("val/") or key in ("train/top1_epoch", "train/loss_epoch")
    }
    checkpoint = trainer.checkpoint_callback
    best = getattr(checkpoint, "best_model_score", None)
    if best is not None:
        metrics["best_val_top1"] = float(best)
    return metrics


def _callback(trainer: Trainer, kind: type[_Callback]) -> _Callback:
    callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    return next(callback for callback in callbacks if isinstance(callback, kind))
