"""Ratios of our time to that of others, as configured by ``conf/benchmark.yaml``."""

from functools import partial
from pathlib import Path
from typing import Any

import speed_block
import speed_clip
import speed_engine
import speed_net
import speed_training
import speed_worth
import torch
from omegaconf import DictConfig
from roofline import measure_roofline
from speed_figure import write_profile_figure, write_speed_figure
from speed_profile import profile_training, show_profile, write_profile
from speed_setting import BenchmarkSetting, choose_dtype
from speed_table import SpeedTable
from speed_worth_figure import write_worth_figure
from step_profile import StepProfile

from gcvideo._console import Console
from gcvideo.command._device import choose_device
from gcvideo.command._output_check import check_file
from gcvideo.models import keep_freed_memory

_CASES = {
    "block": (speed_block.benchmark_blocks, speed_block.LEGEND),
    "net": (speed_net.benchmark_nets, speed_net.LEGEND),
    "training": (speed_training.benchmark_training, speed_training.LEGEND),
    "end_to_end": (speed_clip.benchmark_clips, speed_clip.LEGEND),
    "engine": (speed_engine.benchmark_engines, speed_engine.LEGEND),
    "worth": (speed_worth.benchmark_worth, speed_worth.LEGEND),
}
_PROFILE = "profile"
_SEED = 0
_CONSOLE = Console()


def benchmark(cfg: DictConfig) -> SpeedTable | StepProfile:
    """Time what ``cfg.what`` names and print the table; ``json`` and ``figure`` name files to write.

    Each line compares two ways that took turns in this process, after their results were found equal.

    Raises:
        ValueError: for an unknown ``what``, device or type, less than one round, or sizes that do
            not fit.
        UnequalError: if a reference gives another result.
    """
    if cfg.what not in (*_CASES, _PROFILE):
        raise ValueError(f"what is '{cfg.what}'; choose {', '.join(_CASES)} or {_PROFILE}")
    for key in ("json", "figure"):
        if cfg[key] is not None:
            check_file(cfg[key], key)
            Path(cfg[key]).absolute().parent.mkdir(parents=True, exist_ok=True)
    setting = _settle(cfg)
    machine = setting.machine()
    _CONSOLE.print(_describe(machine), soft_wrap=True)
    if cfg.what == _PROFILE:
        profile = profile_training(cfg, setting)
        show_profile(profile, _CONSOLE)
        if cfg.json is not None:
            write_profile(profile, Path(cfg.json), machine)
        if cfg.figure is not None:
            write_profile_figure(profile, Path(cfg.figure), _title(cfg, machine))
        return profile
    table = SpeedTable(f"medians of {cfg.rounds} rounds; ratio > 1: ours is faster")
    run, legend = _CASES[cfg.what]
    found = run(cfg, setting, table)
    table.show()
    for line in legend:
        _CONSOLE.print(line, soft_wrap=True)
    if cfg.json is not None:
        table.write(cfg.json, machine)
    if cfg.figure is not None:
        write = (
            partial(write_worth_figure, found) if found else partial(write_speed_figure, table.rows)
        )
        write(Path(cfg.figure), _title(cfg, machine))
    return table


def _settle(cfg: DictConfig) -> BenchmarkSetting:
    if cfg.rounds < 1:
        raise ValueError(f"rounds is {cfg.rounds}; time at least 1 round")
    device = choose_device(str(cfg.device))
    dtype, warning = choose_dtype(cfg.dtype, device)
    if warning:
        _CONSOLE.print(f"warning: {warning}", soft_wrap=True)
    torch.manual_seed(_SEED)
    keeps = device.type == "cpu" and cfg.keep_freed_memory and keep_freed_memory()
    return BenchmarkSetting(
        device=device,
        dtype=dtype,
        rounds=cfg.rounds,
        compiled=cfg.compiled,
        keeps_freed_memory=keeps,
        roofline=measure_roofline(device, dtype),
    )


def _describe(machine: dict[str, Any]) -> str:
    return (
        f"{machine['machine']}, {machine['cores']} cores, {machine['threads']} threads, torch "
        f"{machine['torch']}, {machine['dtype']}, {machine['date']}"
        f"{', freed memory is kept' if machine['keeps_freed_memory'] else ''}\n"
        f"measured: copy {machine['copy_gigabytes_per_second']:.3g} GB/s read and written, product "
        f"{machine['product_teraflops_per_second']:.3g} TFLOP/s"
    )


def _title(cfg: DictConfig, machine: dict[str, Any]) -> str:
    return f"{cfg.what}, {machine['machine']}, {machine['dtype']}"
