"""A training from its configuration to its results."""

import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from hydra.utils import instantiate
from lightning import Trainer, seed_everything
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import nn

from gcvideo._console import Console, transcript
from gcvideo.command._assembly import (
    build,
    build_data,
    build_module,
    build_trainer,
    quiet_libraries,
    settle,
)
from gcvideo.command._initialization import initialize_net
from gcvideo.command._preflight import (
    batch_bytes,
    check_output_folder,
    check_shared_memory,
    checkpoint_bytes,
)
from gcvideo.command._rank_config import announce_to_children, global_rank, own_ranks
from gcvideo.command._readability import bad_videos_error, unopenable_videos
from gcvideo.command._record import write_config, write_environment
from gcvideo.command.train._data_record import changed_lists, record_split, write_data_record
from gcvideo.command.train._estimate_measurement import measure
from gcvideo.command.train._estimation import given_step_seconds
from gcvideo.command.train._plan import full_batches
from gcvideo.command.train._report import report_start
from gcvideo.command.train._results import TrainingRun, collect_metrics, write_results
from gcvideo.command.train._resuming import ResumePoint, find_resume_point
from gcvideo.command.train._run_folder import begin_run, finished_metrics, held
from gcvideo.command.train._tuning import tune_batch_size
from gcvideo.data import VideoDataModule, VideoSplits
from gcvideo.models import Cost, checkpoint_activations, compile_net, count_cost
from gcvideo.training import VideoClassifier, check_group_size

_CONSOLE = Console()


@own_ranks()
def train(cfg: DictConfig, *, log: str | None = "train.log") -> dict[str, float]:
    """Train as configured by ``conf/train.yaml`` and leave a run folder behind.

    The folder holds ``config.yaml``, ``environment.json``, ``results.json``, logs, checkpoints and
    a picture of the learning curve. Where ``cfg.resume`` names a run folder, ``cfg`` is that of
    :func:`resumed_config`, and the run goes on from its last checkpoint. With ``cfg.estimate`` the
    training is only described, and nothing is written. The file ``log`` in the folder is given what the
    screen shows, without bars.

    Returns:
        Validation metrics of the best and of the last epoch.

    Raises:
        TrainingStopped: if a signal has stopped the training.
    """
    started, folder = time.perf_counter(), Path(cfg.output_dir)
    is_owner = cfg.estimate is False and global_rank() == 0
    with ExitStack() as within:
        if is_owner:
            within.enter_context(held(folder))
        if is_owner and cfg.resume is None:
            with open_dict(cfg):
                cfg.run_id = begin_run(folder)
        torch.set_float32_matmul_precision("high")
        if cfg.num_threads is not None:
            torch.set_num_threads(cfg.num_threads)
        seed_everything(cfg.seed, workers=False, verbose=False)
        point = None if cfg.resume is None else find_resume_point(folder, cfg.get("run_id"))
        if point is not None and point.is_finished and (folder / "results.json").is_file():
            return finished_metrics(folder)
        within.enter_context(transcript(folder / log if is_owner and log is not None else None))
        data, module, lines = _build(cfg, point)
        if cfg.estimate is not False:
            seconds = given_step_seconds(cfg.estimate)
            estimate = measure(cfg, data, module, step_seconds=seconds)
            _CONSOLE.print(estimate.table())
            return {}
        cost = _finish_net(module.model.net, cfg)
        if point is not None and "tensorboard" in cfg.logger:
            cfg.logger.tensorboard.purge_step = point.step
        trainer = build_trainer(cfg)
        full_batches(data, trainer.world_size)
        if cfg.batch_norm.mode == "sync":
            check_group_size(cfg.batch_norm.group_size, trainer.world_size)
        protocol = OmegaConf.to_container(cfg.protocol, resolve=True)
        run = TrainingRun(folder, cfg.model.name, protocol, data, module, trainer, cost)
        if trainer.is_global_zero:
            _open_folder(run, cfg)
            _begin(run, cfg.batch_norm, lines)
        _fit(run, point)
        metrics = collect_metrics(trainer)
        if trainer.is_global_zero:
            write_results(run, cfg, metrics, seconds=time.perf_counter() - started)
        return metrics


def _build(
    cfg: DictConfig, point: ResumePoint | None
) -> tuple[VideoDataModule, VideoClassifier, list[str]]:
    """Data and net, and what to say of them; settles the configuration."""
    splits: VideoSplits = build(cfg.data)
    changes: list[str] = []
    if cfg.resume is not None and global_rank() == 0:
        folder = Path(cfg.output_dir)
        changes = changed_lists(folder, splits, accepts_others=cfg.accept_changed_lists)
    lines = settle(cfg, splits)
    data = build_data(cfg, splits, build(cfg.protocol))
    if cfg.tune_batch_size and cfg.resume is None:
        _tune(cfg, data)
        data = build_data(cfg, splits, data.protocol)
    net: nn.Module = build(cfg.model.net)
    if point is None and cfg.weights is not None:
        shape = (2, 3, cfg.num_frames, cfg.crop_size, cfg.crop_size)
        lines += initialize_net(
            net,
            build(cfg.weights),
            splits.classes,
            shape,
            protocol=data.protocol,
            seed=cfg.seed,
        )
    if cfg.resume is not None:
        lines += _describe_resume(cfg.resume, point)
    return data, build_module(cfg, net, data), [*lines, *changes]


def _tune(cfg: DictConfig, data: VideoDataModule) -> None:
    """Put the largest batch that fits into the configuration."""
    module = build_module(cfg, build(cfg.model.net), data)
    _finish_net(module.model.net, cfg)
    quiet_libraries()
    # Of its own: callbacks and loggers would take the trials for the run.
    trainer: Trainer = instantiate(
        cfg.trainer, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    cfg.batch_size = tune_batch_size(trainer, module, data)
    cfg.tune_batch_size = False
    seed_everything(cfg.seed, workers=False, verbose=False)


def _finish_net(net: nn.Module, cfg: DictConfig) -> Cost:
    """Give a net its way to compute; its cost is counted before, which refuses views that it cannot take."""
    cost = count_cost(net, cfg.num_frames, cfg.crop_size)
    if cfg.activation_checkpointing:
        checkpoint_activations(net)
    if cfg.compile:
        compile_net(net)
    return cost


def _open_folder(run: TrainingRun, cfg: DictConfig) -> None:
    """Look at what must fit, and write what says what the run is."""
    folder, splits = run.folder, run.data.splits
    needed = checkpoint_bytes(
        run.module.model.net,
        num_moments=2 if "adam" in cfg.optimizer._target_.lower() else 1,
        has_ema=cfg.ema is not None,
    )
    num_scores = len(splits.val) * len(splits.classes)
    check_output_folder(folder, num_bytes=needed + num_scores * torch.float32.itemsize)
    write_data_record(folder, splits)
    write_config(folder / "config.yaml", cfg)
    write_environment(folder / "environment.json")
    if splits.is_drawn:
        record_split(folder, splits)
    announce_to_children(folder / "config.yaml")
    num_bytes = batch_bytes(run.module.views_per_step, cfg.num_frames, cfg.crop_size)
    warning = check_shared_memory(num_bytes, run.data.num_workers * run.trainer.num_devices)
    if warning:
        _CONSOLE.print(f"warning: {warning}", soft_wrap=True)


def _describe_resume(resume: str, point: ResumePoint | None) -> list[str]:
    if point is None:
        return [f"resume     '{resume}' has no checkpoint yet: the run starts from its beginning"]
    lines = [f"warning: {reason}; going on from the one before" for reason in point.unreadable]
    return [*lines, f"resume     step {point.step} of '{point.path}'"]


def _begin(run: TrainingRun, batch_norm: DictConfig, lines: Sequence[str]) -> None:
    """Say what the run is, and look at its validation videos now, not after hours of the first epoch."""
    for line in lines:
        _CONSOLE.print(line, soft_wrap=True)
    data, module, trainer = run.data, run.module, run.trainer
    # As a fit does, for what is said before it.
    module.trainer = data.trainer = trainer
    trainer.datamodule = data  # pyright: ignore[reportAttributeAccessIssue]
    report_start(run.model_name, data, module, trainer, run.cost, batch_norm)
    _CONSOLE.print(f"folder     {run.folder}", soft_wrap=True)
    unopenable = unopenable_videos(data.val_videos(), data.num_workers)
    if unopenable:
        raise bad_videos_error(unopenable, len(data.splits.val), "validation", run.folder)


def _fit(run: TrainingRun, point: ResumePoint | None) -> None:
    trainer = run.trainer
    if point is not None and point.is_finished:
        trainer.fit_loop.max_epochs = point.epoch  # killed before it could write its results
    with warnings.catch_warnings():
        # The data module goes on in the middle of an epoch; Lightning looks for another kind of loader.
        warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that ended")
        # A folder with checkpoints of another run has been refused.
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not")
        try:
            trainer.fit(run.module, run.data, ckpt_path=None if point is None else point.path)
        finally:
            # Of a run that stops in a validation, Lightning ends the workers of that alone.
            trainer.fit_loop.teardown()
