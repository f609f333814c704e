import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from lightning import Trainer, seed_everything
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table
from torch import nn

import gcvideo
from gcvideo.data import EvaluationProtocol, TrainTransform, VideoDataModule, VideoSplits
from gcvideo.inference import configure_head
from gcvideo.models import ClipClassifier, Cost, count_cost, inserted_blocks
from gcvideo.run.initialization import initialize_net
from gcvideo.run.readability import bad_videos_error, unopenable_videos
from gcvideo.run.record import write_environment, write_json
from gcvideo.training import BadVideos, VideoClassifier

_CONSOLE = Console(highlight=False)


def train(cfg: DictConfig) -> dict[str, float]:
    """Train as configured by ``conf/train.yaml`` and leave a run folder behind.

    The folder holds ``config.yaml``, ``environment.json``, ``results.json``, logs, checkpoints and
    a picture of the learning curve.

    Returns:
        Validation metrics of the best and of the last epoch.
    """
    started = time.perf_counter()
    torch.set_float32_matmul_precision("high")
    seed_everything(cfg.seed, workers=False, verbose=False)
    splits: VideoSplits = _build(cfg.data)
    _settle(cfg, splits)
    folder = Path(cfg.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
    write_environment(folder / "environment.json")

    protocol: EvaluationProtocol = _build(cfg.protocol)
    data = _data_module(cfg, splits, protocol)
    net, start = initialize_net(cfg)
    module = _module(cfg, net, splits, protocol)
    trainer: Trainer = build_trainer(cfg)
    bad_videos = _watch_bad_videos(trainer, folder)
    cost = count_cost(module.model.net, cfg.num_frames, cfg.crop_size)
    if trainer.is_global_zero:
        for line in start:
            _CONSOLE.print(line, soft_wrap=True, markup=False)
        _report_start(cfg, splits, protocol, module, trainer, cost)
        # Now, not after hours of the first epoch.
        unopenable = unopenable_videos(data.val_videos(), data.num_workers)
        if unopenable:
            raise bad_videos_error(unopenable, len(splits.val), "validation", folder)
    trainer.fit(module, data)
    metrics = _collect(trainer)
    if trainer.is_global_zero:
        seconds = time.perf_counter() - started
        result = {
            "metrics": metrics,
            "model": cfg.model.name,
            "cost": {"parameters": cost.num_parameters, "macs_per_view": cost.macs},
            "protocol": OmegaConf.to_container(cfg.protocol, resolve=True),
            "videos": {"train": len(splits.train), "val": len(splits.val)},
            "bad_videos": {
                "unreadable": bad_videos.num_unreadable,
                "damaged": bad_videos.num_damaged,
            },
            "classes": list(splits.classes),
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
            "seconds": round(seconds, 1),
        }
        write_json(folder / "results.json", result)
        _report_end(folder, metrics, seconds)
    return metrics


def _build(node: DictConfig) -> Any:
    """The one place where configuration becomes objects; lists arrive as lists, not ListConfigs."""
    return instantiate(node, _convert_="all")


def _settle(cfg: DictConfig, splits: VideoSplits) -> None:
    """Fill in what only data and machine can tell, so that the saved configuration is complete."""
    if cfg.num_classes is None:
        cfg.num_classes = len(splits.classes)
    elif cfg.num_classes != len(splits.classes):
        raise ValueError(
            f"num_classes is {cfg.num_classes} but the data has {len(splits.classes)} classes; leave "
            "num_classes out to take it from the data"
        )
    if cfg.trainer.precision == "auto":
        cfg.trainer.precision = best_precision(cfg.trainer.accelerator)


def best_precision(accelerator: str) -> str:
    """The precision "bf16-mixed" where the hardware computes in bf16, else "32-true".

    On a processor without bf16 instructions PyTorch emulates them, tens of times slower.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        supported = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bf16-mixed" if supported else "32-true"


def build_trainer(cfg: DictConfig) -> Trainer:
    """Lightning's Trainer with the configured callbacks and loggers."""
    callbacks = list(_build(cfg.callbacks).values()) if "callbacks" in cfg else []
    loggers = list(_build(cfg.logger).values()) if "logger" in cfg else False
    if not cfg.trainer.enable_progress_bar:
        callbacks = [c for c in callbacks if "ProgressBar" not in type(c).__name__]
    return instantiate(cfg.trainer, callbacks=callbacks, logger=loggers, _convert_="all")


def _watch_bad_videos(trainer: Trainer, folder: Path) -> BadVideos:
    """The callback that reports replaced videos; also without other callbacks, for none are silent."""
    for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(callback, BadVideos):
            return callback
    callback = BadVideos(str(folder))
    trainer.callbacks.append(callback)  # pyright: ignore[reportAttributeAccessIssue]
    return callback


def _data_module(
    cfg: DictConfig, splits: VideoSplits, protocol: EvaluationProtocol
) -> VideoDataModule:
    make_transform: Callable[..., TrainTransform] = _build(cfg.transform)
    return VideoDataModule(
        splits,
        protocol=protocol,
        transform=make_transform(swapped_labels=splits.swapped_labels),
        batch_size=cfg.batch_size,
        clips_per_video=cfg.clips_per_video,
        num_workers=cfg.num_workers,
        seed=cfg.seed,
        pin_memory=torch.cuda.is_available() and cfg.trainer.accelerator != "cpu",
    )


def _module(
    cfg: DictConfig, net: nn.Module, splits: VideoSplits, protocol: EvaluationProtocol
) -> VideoClassifier:
    model = ClipClassifier(
        net, mean=protocol.mean, std=protocol.std, channels_last=cfg.channels_last
    )
    configure_head(model, protocol)
    return VideoClassifier(
        model,
        classes=splits.classes,
        optimizer=_build(cfg.optimizer),
        scheduler=_build(cfg.scheduler),
        lr=cfg.lr,
        base_batch_size=cfg.base_batch_size,
        views_per_step=cfg.batch_size * cfg.clips_per_video,
        weight_decay=cfg.weight_decay,
        block_lr_multiplier=cfg.block_lr_multiplier,
        label_smoothing=cfg.label_smoothing,
        mixing=None if cfg.mixing is None else _build(cfg.mixing),
        average=protocol.average,  # pyright: ignore[reportArgumentType]
        train_only=cfg.train_only,
        product={
            "version": gcvideo.__version__,
            "classes": list(splits.classes),
            "config": OmegaConf.to_container(cfg, resolve=True),
        },
    )


def _report_start(
    cfg: DictConfig,
    splits: VideoSplits,
    protocol: EvaluationProtocol,
    module: VideoClassifier,
    trainer: Trainer,
    cost: Cost,
) -> None:
    _CONSOLE.print(f"model      {cfg.model.name}: {cost}")
    blocks = inserted_blocks(module.model.net)
    if blocks:
        table = Table("block", "stage", "index", "position", "parameters", "MMACs per view")
        for block, block_cost in zip(blocks, cost.blocks, strict=True):
            table.add_row(
                block.kind,
                block.stage,
                str(block.index),
                block.position,
                f"{block.num_parameters:,}",
                f"{block_cost.macs / 1e6:.2f}",
            )
        added = sum(block.num_parameters for block in blocks)
        table.caption = f"{len(blocks)} blocks add {added:,} parameters"
        _CONSOLE.print(table)
    module.trainer = trainer
    _CONSOLE.print(
        f"data       {len(splits.train)} training and {len(splits.val)} validation videos, "
        f"{len(splits.classes)} classes{_missing(splits)}, {_index(splits)}\n"
        f"protocol   {protocol}\n"
        f"training   {cfg.epochs} epochs, {module.total_batch_size} views per step, "
        f"lr {module.learning_rate:g}, precision {trainer.precision}, "
        f"{trainer.world_size} x {type(trainer.accelerator).__name__.removesuffix('Accelerator')}\n"
        f"folder     {cfg.output_dir}",
        soft_wrap=True,
    )


def _missing(splits: VideoSplits) -> str:
    missing = splits.train.num_missing + splits.val.num_missing
    return f"; {missing} listed videos are not on disk" if missing else ""


def _index(splits: VideoSplits) -> str:
    return "no frame index" if splits.index is None else f"frame index {splits.index.path}"


def _collect(trainer: Trainer) -> dict[str, float]:
    metrics = {
        f"last_{key.replace('/', '_')}": float(value)
        for key, value in trainer.callback_metrics.items()
        if key.startswith("val/") or key in ("train/top1_epoch", "train/loss_epoch")
    }
    checkpoint = trainer.checkpoint_callback
    best = getattr(checkpoint, "best_model_score", None)
    if best is not None:
        metrics["best_val_top1"] = float(best)
    return metrics


def _report_end(folder: Path, metrics: dict[str, float], seconds: float) -> None:
    _CONSOLE.print(f"\nfinished in {seconds:.0f} s")
    for name, value in sorted(metrics.items()):
        _CONSOLE.print(f"  {name:28s} {value:.4f}")
    best = folder / "checkpoints" / "best.ckpt"
    if best.is_file():
        _CONSOLE.print(f"  best checkpoint              {best}", soft_wrap=True)
