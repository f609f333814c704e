"""What a training prints at its start and at its end."""

import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lightning import Trainer
from omegaconf import DictConfig
from rich.table import Table

from gcvideo._console import Console
from gcvideo._duration import duration
from gcvideo._hint import override
from gcvideo._invocation import command_line
from gcvideo.command._class_report import Baselines, describe_baselines, describe_classes
from gcvideo.data import VideoDataModule, VideoSplits
from gcvideo.models import Cost, inserted_blocks
from gcvideo.training import (
    BatchGroups,
    VideoClassifier,
    clips_per_group,
    evaluation_precision,
    highest_factor,
    small_group_warning,
)

_CONSOLE = Console()
_LOW_RATE = 0.5
_RESULTS = {
    "best_val_top1": "best validation top-1",
    "last_val_top1": "last validation top-1",
    "last_val_top5": "last validation top-5",
    "last_val_mean_class_accuracy": "last mean class accuracy",
    "last_val_loss": "last validation loss",
    "last_train_top1_epoch": "last training top-1",
    "last_train_loss_epoch": "last training loss",
}


def report_start(
    model_name: str,
    data: VideoDataModule,
    module: VideoClassifier,
    trainer: Trainer,
    cost: Cost,
    batch_norm: DictConfig,
) -> None:
    """Print model, blocks, data, protocol, batches and rate."""
    _CONSOLE.print(f"model      {model_name}: {cost}")
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
    _CONSOLE.print(
        f"data       {_data(data.splits)}\n"
        f"classes    {describe_classes(data.splits.train)}\n"
        f"protocol   {data.protocol}\n"
        f"training   {trainer.max_epochs} epochs, {_batches(module, trainer)}, "
        f"precision {trainer.precision}\n"
        f"validation {_validation(module, trainer)}\n"
        f"rate       lr {module.learning_rate:g} = {module.lr:g} x {module.total_batch_size} / "
        f"{module.base_batch_size}{_warmup(module, trainer)}\n"
        f"batch norm {_batch_norm(batch_norm, module, trainer)}{_mixing(data, module)}",
        soft_wrap=True,
    )


def _batches(module: VideoClassifier, trainer: Trainer) -> str:
    device = type(trainer.accelerator).__name__.removesuffix("Accelerator")
    text = f"{module.total_batch_size} views per step: {module.views_per_step}"
    text += f" x {trainer.world_size} {device}"
    groups = BatchGroups.of(trainer)
    if groups.accumulated == 1:
        return text
    text += f" x {groups.largest} accumulated batches"
    if groups.largest < groups.accumulated:
        text += f" (all of an epoch, fewer than {groups.accumulated})"
    if groups.smallest < groups.largest:
        text += f", {groups.smallest} in the last step of an epoch"
    return text


def _batch_norm(config: DictConfig, module: VideoClassifier, trainer: Trainer) -> str:
    mode = config.mode
    clips = clips_per_group(
        mode,
        module.views_per_step,
        world_size=trainer.world_size,
        group_size=config.group_size,
    )
    text = f"{mode}, the running statistics"
    if mode != "frozen":
        text = f"{mode}, statistics of {clips:g} views"
    if config.precise_batches:
        text += f", precise ones of {config.precise_batches} batches in validation"
    warning = small_group_warning(clips)
    return text if warning is None else f"{text}\nwarning: {warning}"


def _mixing(data: VideoDataModule, module: VideoClassifier) -> str:
    if module.mixing is None or data.batch_size > 1:
        return ""
    return (
        "\nwarning: mixing blends the videos of a batch, and batch_size is 1, so that labels stay as they "
        "are; raise batch_size or set mixing=none"
    )


def _warmup(module: VideoClassifier, trainer: Trainer) -> str:
    """A warm-up that ends late on a falling rate keeps it far below what is printed."""
    highest = highest_factor(module.scheduler, trainer.max_epochs or 1)
    if highest >= _LOW_RATE:
        return ""
    return (
        f"\nwarning: the schedule reaches {highest:.0%} of that rate at most; shorten warmup_epochs, or "
        "train for more epochs"
    )


def _validation(module: VideoClassifier, trainer: Trainer) -> str:
    wanted = str(module.precision).removeprefix("torch.")
    precision = evaluation_precision(trainer, module.precision)
    text = f"of single views, precision {precision}"
    if precision == wanted:
        return text
    return (
        f"{text}\nwarning: trainer.precision is '{precision}', which changes the weights themselves, so "
        f"that validations cannot be in {wanted}; bf16-mixed and 16-mixed leave them as they are"
    )


def _data(splits: VideoSplits) -> str:
    missing = splits.train.num_missing + splits.val.num_missing
    index = "no frame index" if splits.index is None else f"frame index {splits.index.path}"
    return (
        f"{len(splits.train)} training and {len(splits.val)} validation videos, {len(splits.classes)} "
        f"classes{f'; {missing} listed videos are not on disk' if missing else ''}, {index}"
    )


def report_end(
    folder: Path,
    metrics: Mapping[str, float],
    blind: Baselines,
    *,
    seconds: float,
    speed: str,
    video: str | None = None,
) -> None:
    """What a net that sees nothing would score, what this one scores, and the commands that come next.

    ``speed`` is that of the last epoch, and ``video`` stands in the command that predicts.
    """
    _CONSOLE.print(f"\nfinished in {duration(seconds)}{speed}")
    _CONSOLE.print(describe_baselines(blind), soft_wrap=True)
    for key, name in _RESULTS.items():
        if key in metrics:
            _CONSOLE.print(f"  {name:28s} {metrics[key]:.4f}")
    _CONSOLE.print(f"folder     {folder}", soft_wrap=True)
    checkpoint = folder / "checkpoints" / "best.ckpt"
    if not checkpoint.is_file():
        checkpoint = checkpoint.with_name("last.ckpt")
    if checkpoint.is_file():
        _CONSOLE.print("next")
        for line in next_commands(checkpoint, video):
            _CONSOLE.print(f"  {line}", soft_wrap=True)


def next_commands(checkpoint: Path, video: str | None) -> list[str]:
    """The commands that test a checkpoint and that predict a video with it, ready for a shell."""
    chosen = shlex.quote(override("checkpoint", _short(checkpoint)))
    seen = (
        "video=clip.mp4" if video is None else shlex.quote(override("video", _short(Path(video))))
    )
    return [f"{command_line('test')} {chosen}", f"{command_line('predict')} {chosen} {seen}"]


def _short(path: Path) -> Path:
    """Relative to the working folder, if it is in it."""
    with suppress(ValueError):
        return path.absolute().relative_to(Path.cwd())
    return path
