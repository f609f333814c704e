"""What a training leaves behind: metrics, results and a report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from lightning import Callback, Trainer
from omegaconf import DictConfig

from gcvideo.command._class_report import baselines
from gcvideo.command._record import write_json
from gcvideo.command._run_report import TrainedRun, calibration_record, report_training
from gcvideo.command.train._report import report_end
from gcvideo.data import VideoDataModule
from gcvideo.models import Cost
from gcvideo.training import (
    BadVideos,
    ProgressCheckpoint,
    VideoClassifier,
    evaluation_precision,
)

_Callback = TypeVar("_Callback", bound=Callback)


class TrainingRun(NamedTuple):
    """A training that is about to run, or has run."""

    folder: Path
    model_name: str
    protocol: Any  # as configured
    data: VideoDataModule
    module: VideoClassifier
    trainer: Trainer
    cost: Cost


def collect_metrics(trainer: Trainer) -> dict[str, float]:
    """Those of the last epoch, and the accuracy of the best."""
    metrics = {
        f"last_{key.replace('/', '_')}": value
        for key, value in _callback(trainer, ProgressCheckpoint).metrics(trainer).items()
        if key.startswith("val/") or key in ("train/top1_epoch", "train/loss_epoch")
    }
    best = getattr(trainer.checkpoint_callback, "best_model_score", None)
    if best is not None:
        metrics["best_val_top1"] = float(best)
    return metrics


def write_results(
    run: TrainingRun, cfg: DictConfig, metrics: dict[str, float], *, seconds: float
) -> None:
    """Write ``results.json`` and the report, and say how the training ended."""
    splits, trainer = run.data.splits, run.trainer
    bad_videos = _callback(trainer, BadVideos)
    interval = trainer.check_val_every_n_epoch or 1
    blind = baselines(splits.val.labels, splits.classes)
    result = {
        "metrics": metrics,
        "baselines": blind,
        "model": run.model_name,
        "cost": {"parameters": run.cost.num_parameters, "macs_per_view": run.cost.macs},
        "precision": {
            "training": trainer.precision,
            "validation": evaluation_precision(trainer, run.module.precision),
        },
        "protocol": run.protocol,
        "videos": {"train": len(splits.train), "val": len(splits.val)},
        "bad_videos": {
            "unreadable": bad_videos.num_unreadable,
            "damaged": bad_videos.num_damaged,
        },
        "calibration": calibration_record(run.module.val_scores),
        "classes": list(splits.classes),
        "epochs": trainer.current_epoch,
        "last_validated_epoch": trainer.current_epoch // interval * interval,
        "steps": trainer.global_step,
        "seconds": round(seconds, 1),
    }
    write_json(run.folder / "results.json", result)
    if cfg.get("report", True):  # runs that were begun without the key have none
        report_training(TrainedRun.of(cfg, trainer, run.data, run.module, run.cost, metrics))
    video = splits.val.path(0)
    last = _callback(trainer, ProgressCheckpoint).metrics(trainer)
    speed = ""
    if "clips_per_second" in last:
        speed = f"; in the last epoch {last['clips_per_second']:.3g} clips/s, data wait {last['data_wait']:.0%}"
    report_end(run.folder, metrics, blind, seconds=seconds, speed=speed, video=video)


def _callback(trainer: Trainer, kind: type[_Callback]) -> _Callback:
    return next(callback for callback in _callbacks(trainer) if isinstance(callback, kind))


def _callbacks(trainer: Trainer) -> Sequence[Callback]:
    return trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
