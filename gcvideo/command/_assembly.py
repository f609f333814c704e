"""From a configuration to the parts of a training."""

import importlib.util
import logging
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning import Callback, Trainer
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Checkpoint, DeviceStatsMonitor, LearningRateMonitor
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from torch import nn

import gcvideo
from gcvideo._invocation import command_line
from gcvideo.command._device import best_precision, device_of
from gcvideo.command._rank_config import global_rank
from gcvideo.command.configuration._composition import register_published_weights
from gcvideo.command.configuration._value_rule import shorten_warmup
from gcvideo.data import (
    ClipShape,
    EvaluationProtocol,
    MultigridSchedule,
    TrainTransform,
    VideoDataModule,
    VideoSplits,
)
from gcvideo.inference import clip_classifier
from gcvideo.models import (
    keep_freed_memory,
    precision_type,
)
from gcvideo.training import (
    AtomicCheckpointIO,
    BadVideos,
    BatchNormGroups,
    MultigridCycle,
    MultigridRate,
    PreciseBatchNorm,
    ProgressCheckpoint,
    VideoClassifier,
)

register_published_weights()

# Callbacks that do nothing but log, and refuse a trainer without a logger.
_LOGGING = (DeviceStatsMonitor, LearningRateMonitor)


def build(node: DictConfig) -> Any:
    """The one place where configuration becomes objects; lists arrive as lists, not ListConfigs."""
    return instantiate(node, _convert_="all")


def settle(cfg: DictConfig, splits: VideoSplits) -> list[str]:
    """Fill in what only data and machine can tell, so that the saved configuration is complete.

    Changes ``cfg`` in place; returns lines that say what was changed, to be shown.
    """
    if cfg.num_classes is None:
        cfg.num_classes = len(splits.classes)
    elif cfg.num_classes != len(splits.classes):
        raise ValueError(
            f"num_classes is {cfg.num_classes} but the data has {len(splits.classes)} classes; leave "
            "num_classes out to take it from the data, or list all names in data.classes, which may "
            "include classes without videos"
        )
    if cfg.trainer.precision == "auto":
        cfg.trainer.precision = best_precision(cfg.trainer.accelerator)
    multigrid = multigrid_schedule(cfg)
    if multigrid is not None:
        cfg.trainer.max_epochs = multigrid.num_epochs
        cfg.trainer.reload_dataloaders_every_n_epochs = 1
    num_epochs, interval = cfg.trainer.max_epochs, cfg.trainer.check_val_every_n_epoch
    if interval is not None and interval > num_epochs:
        raise ValueError(
            f"trainer.check_val_every_n_epoch is {interval} and the run has {num_epochs} epochs, so nothing "
            f"would be validated and there would be no best.ckpt; give at most {num_epochs}"
        )
    return shorten_warmup(cfg)


def multigrid_schedule(cfg: DictConfig) -> MultigridSchedule | None:
    """The shapes of a run, if it has several."""
    if cfg.multigrid is None:
        return None
    return build(cfg.multigrid).schedule(
        ClipShape(cfg.num_frames, cfg.sampling_rate, cfg.crop_size),
        num_epochs=cfg.epochs,
        milestones=getattr(build(cfg.scheduler), "milestones", None),
    )


class TrainerError(ValueError):
    """Settings of the trainer that Lightning refuses, such as a device that is not there."""


def build_trainer(cfg: DictConfig) -> Trainer:
    """Lightning's Trainer with the configured callbacks and loggers; on a CPU, freed memory is kept."""
    quiet_libraries()
    loggers = _loggers(cfg.logger) if cfg.get("logger") else []
    plugins: list[Any] = [AtomicCheckpointIO()]
    if SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():
        # Lightning's own requeueing saves from within a signal, in the middle of a step.
        plugins.append(SLURMEnvironment(auto_requeue=False))
    if "batch_norm" in cfg and cfg.batch_norm.mode == "sync":
        plugins.append(BatchNormGroups(cfg.batch_norm.group_size))
    callbacks = [c for c in _callbacks(cfg) if loggers or not isinstance(c, _LOGGING)]
    try:
        trainer: Trainer = instantiate(
            cfg.trainer,
            callbacks=callbacks,
            logger=loggers or False,
            plugins=plugins,
            # Without one of its own, Lightning would add a checkpoint of every epoch.
            enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
            _convert_="all",
        )
    except InstantiationException as error:
        if not isinstance(error.__cause__, MisconfigurationException):
            raise
        raise TrainerError(
            f"there is no trainer with trainer.accelerator={cfg.trainer.accelerator} trainer.devices="
            f"{cfg.trainer.devices} on this machine: {error.__cause__}; choose another, such as "
            f"trainer=auto or trainer=cpu, or see what `{command_line('doctor')}` finds"
        ) from error
    if isinstance(trainer.accelerator, CPUAccelerator):
        keep_freed_memory()
    return trainer


def quiet_libraries() -> None:
    """Silence Lightning's hints on its other products, its own deprecations, and SLURM outside a job.

    Lightning sets the level of its log when it is imported: call this afterwards.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # the run reports its device
    warnings.filterwarnings("ignore", message=".isinstance.treespec, LeafSpec.. is deprecated")
    # Its successor does not exist in older torch.
    warnings.filterwarnings("ignore", message=".broadcast_buffers. is deprecated")
    if "SLURM_JOB_ID" not in os.environ:  # on a login node, or one machine with SLURM's commands
        warnings.filterwarnings("ignore", message="The .srun. command is available")


def _loggers(config: DictConfig) -> list[Logger]:
    """The configured loggers; that of tensorboard, which is an extra, only where it is installed."""
    chosen = dict(config)
    if "tensorboard" in chosen and importlib.util.find_spec("tensorboard") is None:
        del chosen["tensorboard"]
        if global_rank() == 0:
            print(
                "tensorboard is not installed, so there is no log for it: pip install "
                '"gcvideo[tensorboard]"'
            )
    return [build(node) for node in chosen.values() if node is not None]


def _callbacks(cfg: DictConfig) -> list[Callback]:
    if "ema" not in cfg:  # a test
        return _present(build(cfg.callbacks)) if "callbacks" in cfg else []
    folder = str(Path(cfg.output_dir) / "checkpoints")
    # The first two ask for this order in their docstrings, and so does precise batch norm.
    callbacks: list[Callback] = [ProgressCheckpoint(folder, cfg.checkpoint.every_n_steps)]
    if cfg.ema is not None:
        callbacks.append(build(cfg.ema))
    if cfg.batch_norm.precise_batches:
        callbacks.append(PreciseBatchNorm(cfg.batch_norm.precise_batches))
    if cfg.multigrid is not None:
        callbacks.append(MultigridCycle())
    callbacks += _present(build(cfg.callbacks))
    if cfg.early_stopping is not None:
        callbacks.append(build(cfg.early_stopping))
    if not any(isinstance(callback, BadVideos) for callback in callbacks):
        callbacks.append(BadVideos(cfg.output_dir))  # replaced videos are never silent
    if not cfg.trainer.enable_progress_bar:
        callbacks = [c for c in callbacks if "ProgressBar" not in type(c).__name__]
    return callbacks


def _present(parts: Mapping[str, Any]) -> list[Any]:
    """Without those that an override has set to null."""
    return [part for part in parts.values() if part is not None]


def build_data(
    cfg: DictConfig, splits: VideoSplits, protocol: EvaluationProtocol
) -> VideoDataModule:
    """Loaders over the splits."""

    def transform(config: DictConfig) -> TrainTransform:
        return build(config.transform)(swapped_labels=splits.swapped_labels)

    multigrid, transforms = multigrid_schedule(cfg), {}
    for size in () if multigrid is None else multigrid.crop_sizes:
        other = cfg.copy()
        other.crop_size, other.short_side = size, round(cfg.short_side * size / cfg.crop_size)
        transforms[size] = transform(other)
    return VideoDataModule(
        splits,
        protocol=protocol,
        transform=transform(cfg),
        batch_size=cfg.batch_size,
        clips_per_video=cfg.clips_per_video,
        num_workers=cfg.num_workers,
        seed=cfg.seed,
        pin_memory=device_of(cfg.trainer) == "cuda",
        multigrid=multigrid,
        transforms=transforms,
        frame_cache_gb=cfg.get("frame_cache_gb", 0),  # a checkpoint may be older
    )


def build_module(cfg: DictConfig, net: nn.Module, data: VideoDataModule) -> VideoClassifier:
    """The net with all that its training on the data needs."""
    protocol = data.protocol
    scheduler = build(cfg.scheduler)
    if data.multigrid is not None:
        scheduler = MultigridRate(scheduler=scheduler, multigrid=data.multigrid)
    return VideoClassifier(
        clip_classifier(net, protocol, cfg.layout),
        classes=data.splits.classes,
        optimizer=build(cfg.optimizer),
        scheduler=scheduler,
        lr=cfg.lr,
        base_batch_size=cfg.base_batch_size,
        views_per_step=cfg.batch_size * cfg.clips_per_video,
        weight_decay=cfg.weight_decay,
        block_lr_multiplier=cfg.block_lr_multiplier,
        label_smoothing=cfg.label_smoothing,
        mixing=None if cfg.mixing is None else build(cfg.mixing),
        average=protocol.average,  # pyright: ignore[reportArgumentType]
        precision=precision_type(cfg.val_precision, "val_precision"),
        train_only=cfg.train_only,
        freeze_norms=cfg.batch_norm.mode == "frozen",
        seed=cfg.seed,
        product={
            "version": gcvideo.__version__,
            "classes": list(data.splits.classes),
            "config": OmegaConf.to_container(cfg, resolve=True),
        },
    )
