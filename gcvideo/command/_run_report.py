"""The report of a test or of a training: what a run knows, put into the words of the page."""

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from lightning import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig, OmegaConf, open_dict

from gcvideo._console import Console
from gcvideo._hint import override
from gcvideo._invocation import command_line
from gcvideo.command._checkpoint_data import Evaluation
from gcvideo.command._class_report import baselines
from gcvideo.data import EvaluationProtocol, VideoDataModule, VideoSplits
from gcvideo.evaluation import VideoScores, calibration
from gcvideo.models import Cost
from gcvideo.report import RunResult, write_run_report
from gcvideo.training import BadVideos, LearningCurve, VideoClassifier

_CONSOLE = Console()
_OF_THE_RUN = {"output_dir", "run_id"}


def calibration_record(scores: VideoScores) -> dict[str, Any] | None:
    """Expected calibration error for ``results.json``; None without scores, or if one is not finite."""
    values = scores.scores()
    if not len(scores) or not bool(values.isfinite().all()):
        return None
    found = calibration(scores.labels(), values)
    return {"expected_calibration_error": found.error, "bins": len(found.num_videos)}


@dataclass(frozen=True)
class TrainedRun:
    """A training that has ended, and the scores of its last validation."""

    cfg: DictConfig
    folder: Path
    splits: VideoSplits
    protocol: EvaluationProtocol
    scores: VideoScores
    metrics: Mapping[str, float]
    num_parameters: int
    history: Mapping[str, list[tuple[float, float]]]
    num_unreadable: int
    num_damaged: int
    trainer: Trainer

    @classmethod
    def of(
        cls,
        cfg: DictConfig,
        trainer: Trainer,
        data: VideoDataModule,
        module: VideoClassifier,
        cost: Cost,
        metrics: Mapping[str, float],
    ) -> "TrainedRun":
        """What a trainer has left; without its picture of the learning curve, there are no curves."""
        callbacks: Sequence[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        curves = [c.history for c in callbacks if isinstance(c, LearningCurve)]
        bad_videos = next(c for c in callbacks if isinstance(c, BadVideos))
        return cls(
            cfg=cfg,
            folder=Path(cfg.output_dir),
            splits=data.splits,
            protocol=data.protocol,
            scores=module.val_scores,
            metrics=metrics,
            num_parameters=cost.num_parameters,
            history=curves[0] if curves else {},
            num_unreadable=bad_videos.num_unreadable,
            num_damaged=bad_videos.num_damaged,
            trainer=trainer,
        )


def report_test(
    evaluation: Evaluation, trainer: Trainer, scores: VideoScores, metrics: Mapping[str, float]
) -> None:
    """Write the report of a test into its folder."""
    cfg, protocol, splits = evaluation.cfg, evaluation.protocol, evaluation.splits
    model = evaluation.checkpoint.config["model"]["name"]
    facts = {
        "checkpoint": str(evaluation.checkpoint.path),
        "data": _homely(splits.test.source),
        "protocol": str(protocol),
        "precision, engine": f"{cfg.precision}, {cfg.engine}",
    }
    result = RunResult(
        title=f"Test of {model}",
        splits=splits,
        split="test",
        protocol=protocol,
        videos=scores.videos(),
        labels=scores.labels(),
        scores=scores.scores(),
        figures_of_merit=_merit(metrics, splits, "test", scores),
        facts=_command("test") | facts | _environment(evaluation.folder),
        recipe=_recipe(cfg),
        left_out=_missing(splits),
    )
    _write(result, evaluation.folder, cfg, trainer)


def report_training(run: TrainedRun) -> None:
    """Write the report of a training, with its last validation, into the run folder."""
    cfg, splits = run.cfg, run.splits
    facts = {
        "net": f"{cfg.model.name}, {run.num_parameters / 1e6:.2f} M parameters, {cfg.num_frames} frames of "
        f"{cfg.crop_size} pixels",
        "recipe": f"{cfg.trainer.max_epochs} epochs, batch {cfg.batch_size} x {cfg.clips_per_video}, "
        f"{cfg.optimizer._target_.rpartition('.')[2]}, lr {cfg.lr:g} per {cfg.base_batch_size}, seed "
        f"{cfg.seed}, trained in {cfg.trainer.precision}, validated in {cfg.val_precision}",
        "data": f"{_homely(splits.train.source)}, {_homely(splits.val.source)}",
        "validation": f"a centre view of each video; weights of the last epoch; {run.protocol.name}",
    }
    left_out = [
        f"{number} training videos were {text}; bad_videos.csv names them."
        for number, text in (
            (run.num_unreadable, "unreadable, and others were shown in their place"),
            (run.num_damaged, "damaged, and shown without their damaged parts"),
        )
        if number
    ]
    result = RunResult(
        title=f"Training of {cfg.model.name}",
        splits=splits,
        split="val",
        protocol=run.protocol,
        videos=run.scores.videos(),
        labels=run.scores.labels(),
        scores=run.scores.scores(),
        figures_of_merit=_merit(run.metrics, splits, "val", run.scores),
        facts=_command("train") | facts | _environment(run.folder),
        recipe=_recipe(cfg),
        left_out=[*_missing(splits), *left_out],
        history=run.history,
    )
    _write(result, run.folder, cfg, run.trainer)


def _write(result: RunResult, folder: Path, cfg: DictConfig, trainer: Trainer) -> None:
    with _picture_log(result, trainer) as log_picture:
        formats = cfg.get("figures", ["png", "svg"])
        write_run_report(result, folder, formats=formats, log_picture=log_picture)
    if not bool(result.is_finite.all()):
        bad = int((~result.is_finite).sum())
        _CONSOLE.print(
            f"warning: {bad} of {len(result.labels)} videos have scores that are not finite numbers; the "
            "report names them",
            soft_wrap=True,
        )
    _CONSOLE.print(f"  report in {folder / 'report.html'}", soft_wrap=True)


@contextmanager
def _picture_log(
    result: RunResult, trainer: Trainer
) -> Iterator[Callable[[str, np.ndarray], None] | None]:
    """What gives pictures to tensorboard, at the last step; None where it is not on."""
    folder = next((x.log_dir for x in trainer.loggers if isinstance(x, TensorBoardLogger)), None)
    if folder is None:
        yield None
        return
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - of an extra

    # Of its own: the logger has ended, and would begin again with the purge of a run that was resumed.
    with SummaryWriter(folder, filename_suffix=".report") as writer:
        yield lambda name, pixels: writer.add_image(
            f"{result.split}/{name}", pixels, trainer.global_step, dataformats="HWC"
        )


def _merit(
    metrics: Mapping[str, float], splits: VideoSplits, split: str, scores: VideoScores
) -> dict[str, str]:
    videos = getattr(splits, split)
    blind = baselines(videos.labels, splits.classes)
    texts = {name.replace("_", " "): f"{value:.4f}" for name, value in sorted(metrics.items())}
    error = calibration_record(scores)
    if error is not None:
        texts["expected calibration error"] = f"{error['expected_calibration_error']:.4f}"
    return texts | {
        "chance top-1": f"{blind['chance_top1']:.4f}",
        "majority top-1": f"{blind['majority_top1']:.4f} (always {blind['majority_class']})",
        "videos": f"{len(scores)} of {len(videos)} scored",
    }


def _missing(splits: VideoSplits) -> list[str]:
    lists = {"training": splits.train, "validation": splits.val, "test": splits.test}
    return [
        f"{videos.num_missing} listed videos of {name} are not on disk."
        for name, videos in lists.items()
        if videos.num_missing
    ]


def _command(name: str) -> dict[str, str]:
    """The command as it was typed; nothing where there was none."""
    if not HydraConfig.initialized():
        return {}
    words = map(_unquoted, HydraConfig.get().overrides.task)
    return {"command": f"{command_line(name)} {shlex.join(words)}".rstrip()}


def _unquoted(word: str) -> str:
    """An override without the quotes that a path got when the command line was read, if it needs none."""
    quoted = re.fullmatch(r"([^=']+)='([^'\\]*)'", word)
    return word if quoted is None else override(quoted[1], quoted[2])


def _recipe(cfg: DictConfig) -> str:
    """The configuration without what differs between equal runs: their folder, and their number."""
    shown = cfg.copy()
    with open_dict(shown):
        for key in _OF_THE_RUN & shown.keys():
            del shown[key]
    return OmegaConf.to_yaml(shown)


def _homely(path: str) -> str:
    """A path with ~ for the home folder, since a page may be passed on."""
    home = f"{Path.home()}{os.sep}"
    return f"~{os.sep}{path.removeprefix(home)}" if path.startswith(home) else path


def _environment(folder: Path) -> dict[str, str]:
    found = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    commit = (found["git_commit"] or "unknown")[:10]
    devices = ", ".join(found["cuda_devices"]) or "no GPU"
    return {
        "date": date.today().isoformat(),
        "machine": f"{found['processor']}, {found['cores']} cores; {devices}",
        "versions": f"gcvideo {found['gcvideo']} (commit {commit}), Python {found['python']}, {packages}",
    }
