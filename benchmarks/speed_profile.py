"""A training step taken apart: a short training whose borders are timed."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from alternation import device_clock
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.profilers import Profiler
from omegaconf import DictConfig
from rich.table import Table
from speed_clip import compose_files, make_videos
from speed_model import FILE_NETS, model_words
from speed_setting import BenchmarkSetting
from step_profile import StepProfile, StepRecorder

from gcvideo._console import Console
from gcvideo.command._assembly import (
    build,
    build_data,
    build_module,
    quiet_libraries,
)
from gcvideo.command._record import write_json
from gcvideo.data import VideoBatch

_WARMUP = 1
_LOADING = "loading"
_NUM_CLASSES = 8
# Ends of the names that Lightning gives to what it does, and the part that it belongs to.
_ACTIONS = {
    "train_dataloader_next": _LOADING,
    ".batch_to_device": "transfer",
    "Strategy.training_step": "forward",
    "Strategy.backward": "backward",
    # Lightning's closure runs within: forward and backward pass interrupt it.
    ".optimizer_step": "optimizer",
}


class StepProfiler(Profiler):
    """Lightning's actions to the parts of a step.

    Args:
        recorder: gets the borders.
        num_steps: to record, behind one for warming up.
    """

    def __init__(self, recorder: StepRecorder, num_steps: int) -> None:
        super().__init__()
        self.recorder = recorder
        self.num_steps = num_steps
        self.num_fetches = 0

    @property
    def is_recording(self) -> bool:
        """Whether the present step counts."""
        return _WARMUP < self.num_fetches <= _WARMUP + self.num_steps

    def start(self, action_name: str) -> None:
        part = _part(action_name)
        if part == _LOADING:
            self.num_fetches += 1
            if self.num_fetches == _WARMUP + 1:
                self.recorder.begin()
            elif self.num_fetches == _WARMUP + self.num_steps + 1:
                self.recorder.end()
        if part and self.is_recording:
            self.recorder.enter(part)

    def stop(self, action_name: str) -> None:
        if _part(action_name) and self.is_recording:
            self.recorder.leave()

    def summary(self) -> str:
        return ""


class _LoadingParts(Callback):
    """What the data set says of its work within the loading."""

    def __init__(self, profiler: StepProfiler) -> None:
        self.profiler = profiler

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: VideoBatch, batch_idx: int
    ) -> None:
        if self.profiler.is_recording:
            decode, transform = batch["seconds"].sum(0).tolist()
            self.profiler.recorder.move(_LOADING, "decode", decode)
            self.profiler.recorder.move(_LOADING, "transform", transform)


def profile_training(cfg: DictConfig, setting: BenchmarkSetting) -> StepProfile:
    """Train a net on made videos for ``cfg.rounds`` steps, without worker processes.

    The calls are those of Lightning's trainer on the package's modules. A GPU is waited for at each
    border, so that a part pays for what it starts; a training without borders may overlap them.

    Raises:
        ValueError: for more than one or an unknown model, or sizes that no net takes.
    """
    words = model_words(cfg, FILE_NETS)
    if len(words) > 1:
        raise ValueError(
            f"models is {words}; a profile is that of one net, such as models=[slow_gc]"
        )
    train_cfg = compose_files(words[0], cfg)
    train_cfg.num_workers = 0
    train_cfg.compile = False
    # One more than is timed, whose start is the end of the last.
    num_batches = _WARMUP + cfg.rounds + 1
    per_class = -(-num_batches * cfg.batch_size // _NUM_CLASSES)
    profiler = StepProfiler(StepRecorder(device_clock(setting.device)), cfg.rounds)
    with TemporaryDirectory() as folder:
        splits = make_videos(cfg, folder, train_per_class=per_class)
        train_cfg.num_classes, train_cfg.output_dir = len(splits.classes), folder
        data = build_data(train_cfg, splits, build(train_cfg.protocol))
        module = build_module(train_cfg, build(train_cfg.model.net), data)
        _trainer(setting, profiler, num_batches, folder).fit(module, data)
    recorder = profiler.recorder
    return StepProfile(recorder.seconds, recorder.total, cfg.rounds, module.views_per_step)


def _trainer(
    setting: BenchmarkSetting, profiler: StepProfiler, num_batches: int, folder: str
) -> Trainer:
    device = setting.device
    quiet_libraries()
    return Trainer(
        accelerator=device.type,
        devices=1 if device.index is None else [device.index],
        precision="bf16-mixed" if setting.dtype == torch.bfloat16 else "32-true",
        max_epochs=1,
        limit_train_batches=num_batches,
        limit_val_batches=0,
        callbacks=[_LoadingParts(profiler)],
        profiler=profiler,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


def _part(action: str) -> str | None:
    return next((part for end, part in _ACTIONS.items() if action.endswith(end)), None)


def show_profile(profile: StepProfile, console: Console) -> None:
    """Print the parts of a step."""
    console.print(f"training step of {profile.num_clips} clips, mean of {profile.num_steps}")
    table = Table()
    table.add_column("part")
    for heading in ("ms", "share"):
        table.add_column(heading, justify="right")
    shares = profile.shares()
    for part, seconds in profile.parts().items():
        table.add_row(part, f"{1e3 * seconds:.1f}", f"{shares[part]:.1%}")
    table.add_section()
    table.add_row("step", f"{1e3 * profile.total / profile.num_steps:.1f}", f"{1:.1%}")
    console.print(table)


def write_profile(profile: StepProfile, path: Path, machine: Mapping[str, Any]) -> None:
    """Write the parts of a step to a JSON file: a list of part, milliseconds, share and machine."""
    shares = profile.shares()
    lines = [
        {"part": part, "ms": 1e3 * seconds, "share": shares[part], **machine}
        for part, seconds in profile.parts().items()
    ]
    write_json(path, lines)
