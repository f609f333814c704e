from pathlib import Path
from typing import Any, cast

from lightning import Trainer
from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo.command._assembly import build_trainer
from gcvideo.command._checkpoint_data import (
    announce_evaluation,
    checkpoint_protocol,
    checkpoint_splits,
    naming_bad_videos,
    origin,
)
from gcvideo.command._class_report import baselines, describe_baselines, describe_source
from gcvideo.command._output_check import make_folder
from gcvideo.command._rank_config import announce_to_children
from gcvideo.command._record import write_config, write_environment, write_json
from gcvideo.data import EvaluationProtocol, VideoDataModule, VideoSplits
from gcvideo.inference import Checkpoint, read_checkpoint
from gcvideo.models import precision_type
from gcvideo.training import VideoClassifier

_CONSOLE = Console()


def test(cfg: DictConfig) -> dict[str, float]:
    """Score a checkpoint on a test split with all views, as configured by ``conf/test.yaml``.

    The run folder gets ``scores.csv`` with one row per video and ``results.json`` with metrics,
    protocol and the numbers of videos listed and scored.

    Raises:
        BadVideosError: if listed videos cannot be read; all of them are in ``bad_videos.csv``.
        RuntimeError: if a listed video was not scored.
        ValueError: for an unknown ``precision``, or another one in ``trainer``.
    """
    checkpoint = read_checkpoint(cfg.checkpoint)
    protocol = checkpoint_protocol(cfg, checkpoint)
    splits = checkpoint_splits(cfg, checkpoint)
    precision = precision_type(cfg.precision)
    _leave_precision_to_module(cfg.trainer)
    folder = Path(cfg.output_dir)
    make_folder(folder, "hydra.run.dir")

    packages = list(cfg.packages)
    module = VideoClassifier(
        checkpoint.build_model(protocol, packages),
        classes=checkpoint.classes,
        optimizer=_no_optimizer,
        lr=0.0,
        base_batch_size=1,
        views_per_step=1,
        average=cast(Any, protocol.average),
        precision=precision,
    )
    data = _TestData(splits, protocol=protocol, num_workers=cfg.num_workers)
    trainer: Trainer = build_trainer(cfg)
    if trainer.is_global_zero:
        write_config(folder / "config.yaml", cfg)
        write_environment(folder / "environment.json")
        announce_to_children(folder / "config.yaml")
        announce_evaluation(checkpoint.path, protocol, cfg.precision)
        _CONSOLE.print(f"data       {describe_source(splits.test)}", soft_wrap=True)
    with naming_bad_videos(data, folder):
        trainer.test(module, data, verbose=False)
    metrics = module.test_metrics()
    if trainer.is_global_zero:
        _write(folder, cfg, checkpoint, protocol, splits, module, metrics)
    if len(module.test_scores) != len(splits.test):
        raise RuntimeError(
            f"{len(splits.test)} videos are listed but {len(module.test_scores)} were scored; the "
            "metrics do not stand for the list"
        )
    return metrics


def _leave_precision_to_module(trainer: DictConfig) -> None:
    """The trainer's own is for training: a processor or GPU must not choose what a test computes."""
    if str(trainer.precision) not in ("auto", "32", "32-true"):
        raise ValueError(
            f"trainer.precision is '{trainer.precision}', which is for training; a test computes in what "
            "precision names: float32, bfloat16 or float16"
        )
    trainer.precision = "32-true"


class _TestData(VideoDataModule):
    """Of more ranks than videos, some score a video again, which counts once.

    Lightning would leave a rank without videos out of the test, and the others would wait for it.
    """

    def _ranks(self) -> dict[str, int]:
        ranks = super()._ranks()
        return ranks | {"rank": ranks["rank"] % max(1, len(self.splits.test))}


def _no_optimizer(groups: list[dict[str, Any]]) -> Any:
    raise AssertionError("a test has no optimizer")


def _write(
    folder: Path,
    cfg: DictConfig,
    checkpoint: Checkpoint,
    protocol: EvaluationProtocol,
    splits: VideoSplits,
    module: VideoClassifier,
    metrics: dict[str, float],
) -> None:
    listed = [splits.test.path(video) for video in range(len(splits.test))]
    module.test_scores.write(folder / "scores.csv", listed, checkpoint.classes)
    blind = baselines(splits.test.labels, checkpoint.classes)
    write_json(
        folder / "results.json",
        {
            "metrics": metrics,
            "baselines": blind,
            **origin(cfg, checkpoint, protocol),
            "videos_listed": len(splits.test),
            "videos_scored": len(module.test_scores),
            "videos_failed": len(splits.test) - len(module.test_scores),
        },
    )
    for name, value in sorted(metrics.items()):
        _CONSOLE.print(f"  {name:28s} {value:.4f}")
    _CONSOLE.print(describe_baselines(blind), soft_wrap=True)
    _CONSOLE.print(
        f"  {len(module.test_scores)} of {len(splits.test)} videos scored, "
        f"{protocol.num_views} views each; results in {folder}",
        soft_wrap=True,
    )
