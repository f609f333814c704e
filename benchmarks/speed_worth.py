"""What blocks are worth beside what they cost: accuracies of a comparison, times at full width."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from alternation import measure_steps, require_close
from omegaconf import DictConfig
from speed_model import build_drawn_net, compose_clip_net, draw_views, make_model, model_words
from speed_net import TOLERANCE, inference_step
from speed_setting import BenchmarkSetting
from speed_table import SpeedTable

from gcvideo.comparison._step_cost import training_step
from gcvideo.inference._folding import for_inference
from gcvideo.inference._fused_convolution import packable_type

LEGEND = (
    "Per clip, of nets of the width that conf/model gives them; training: forward pass, cross-entropy, "
    "backward pass; inference: batch norms folded.",
    "Points: top-1 of the comparison, mean over seeds, less that of its first variant.",
)
_STAGES = ("training", "inference")


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy of a variant of a comparison, as fractions.

    Args:
        mean: over seeds.
        spread: standard deviation over seeds; None of one seed.
    """

    mean: float
    spread: float | None


@dataclass(frozen=True)
class Worth:
    """A variant in one stage and type.

    Args:
        variant: its name.
        stage: "training" or "inference".
        dtype: of its convolutions and products.
        milliseconds: of a clip, median over rounds.
        accuracy: of the comparison.
    """

    variant: str
    stage: str
    dtype: str
    milliseconds: float
    accuracy: Accuracy


def benchmark_worth(cfg: DictConfig, setting: BenchmarkSetting, table: SpeedTable) -> list[Worth]:
    """Time the nets of the variants of ``cfg.table``, in float32 and in the type of the setting.

    ``cfg.models`` names the bare net; a variant called gc is timed as its model of that name, such as
    i3d_gc, and the first variant as the bare net.

    Raises:
        ValueError: without a table, for one that is no table of a comparison, for variants that are no
            models, or for more than one bare net.
        UnequalError: if logits in the narrower type are not those in float32.
    """
    accuracies = read_accuracies(cfg.table)
    family = model_words(cfg, ("i3d",))
    if len(family) != 1:
        raise ValueError(f"models is {family}; give one bare net, such as models=[i3d]")
    bare = next(iter(accuracies))
    net, *options = family[0].split(" ")
    words = {
        name: " ".join([net if name == bare else f"{net}_{name}", *options]) for name in accuracies
    }
    found = []
    for stage in _STAGES:
        for dtype in dict.fromkeys((torch.float32, setting.dtype)):
            steps = {name: _step(words[name], cfg, setting, stage, dtype) for name in accuracies}
            seconds = measure_steps(steps, setting.rounds, setting.device)
            per_clip = {name: times / cfg.batch_size for name, times in seconds.items()}
            type_name = str(dtype).removeprefix("torch.")
            for name, accuracy in accuracies.items():
                milliseconds = 1e3 * float(np.median(per_clip[name]))
                found.append(Worth(name, stage, type_name, milliseconds, accuracy))
                if name != bare:
                    points = 100 * (accuracy.mean - accuracies[bare].mean)
                    table.add_times(
                        f"{words[name]}, {stage}, {type_name}",
                        f"{words[bare]}, {stage}, {type_name}",
                        per_clip[name],
                        per_clip[bare],
                        note=f"{points:+.1f} points",
                    )
    return found


def read_accuracies(path: str | None) -> dict[str, Accuracy]:
    """Top-1 of the variants that a comparison's table.csv has finished seeds of.

    Raises:
        ValueError: without a file, for another file, or for one without a finished baseline.
    """
    if path is None:
        raise ValueError("table is null; give the table.csv of a comparison")
    columns = "variant", "top-1, mean (fraction)", "top-1, spread (fraction)"
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not set(columns) <= rows[0].keys() or not rows[0][columns[1]]:
        raise ValueError(
            f"'{path}' is no table of a comparison with a finished first variant; give the table.csv that "
            "`gcvideo compare` writes"
        )
    return {
        name: Accuracy(float(mean), float(spread) if spread else None)
        for name, mean, spread in ([row[column] for column in columns] for row in rows)
        if mean
    }


def _step(
    words: str, cfg: DictConfig, setting: BenchmarkSetting, stage: str, dtype: torch.dtype
) -> Callable[[], object]:
    net_cfg = compose_clip_net(words, cfg.num_frames, cfg.crop_size)
    net = build_drawn_net(net_cfg)
    views = draw_views(net_cfg, cfg.batch_size, setting.device)

    def prepared(dtype: torch.dtype) -> Callable[[], tuple[torch.Tensor, ...]]:
        model = make_model(net, net_cfg, "auto", setting.device, dtype)
        prepared = for_inference(model, packable_type(model, dtype))
        return inference_step(prepared, views, setting, dtype)

    require_close(
        f"{words}, {dtype}", prepared(dtype)(), prepared(torch.float32)(), TOLERANCE[dtype]
    )
    if stage == "inference":
        return prepared(dtype)
    step = training_step(make_model(net, net_cfg, "auto", setting.device, dtype).train(), views)

    def timed() -> None:
        with setting.autocast(dtype):
            step()

    return timed
