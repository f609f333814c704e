"""``gcvideo attention stats``: the query independence of the non-local blocks of a net on videos."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from gcvideo._console import Console
from gcvideo._progress import with_progress
from gcvideo.attention._map import captured_inputs
from gcvideo.attention._query_independence import average_query_independence, query_independence
from gcvideo.command._checkpoint_data import announce_evaluation, checkpoint_splits
from gcvideo.command._device import choose_device
from gcvideo.command._output_check import make_folder
from gcvideo.command._record import write_config, write_environment, write_json
from gcvideo.command._video_list import find_videos
from gcvideo.command.attention._stats_table import (
    LayerRow,
    explain,
    markdown,
    plain_columns,
    show_tables,
)
from gcvideo.data import EvaluationProtocol, VideoReadError
from gcvideo.data.listing._list_file import write_table, write_text
from gcvideo.inference import Checkpoint, read_checkpoint
from gcvideo.inference._batch import read_videos
from gcvideo.models import (
    ClipClassifier,
    InsertedBlock,
    computing_in,
    inserted_blocks,
    precision_type,
)
from gcvideo.nn import NonLocalBlock

_CONSOLE = Console()


@dataclass(frozen=True)
class QueryStatistics:
    """Query independence by block, on average and by video, with the reasons for unreadable videos."""

    layers: list[LayerRow]
    mean: LayerRow
    videos: dict[str, list[LayerRow]]
    failures: dict[str, str]


def attention_stats(cfg: DictConfig) -> QueryStatistics:
    """Measure query independence, as configured by ``conf/attention_stats.yaml``.

    The run folder gets ``query_independence.md``, ``.csv`` and ``.json``. All readable videos are
    measured, even if others fail.

    Raises:
        ValueError: if the net has no non-local block, no video can be read, ``precision`` is unknown, or
            options contradict each other.
        FileNotFoundError: if there is nothing at ``videos``.
    """
    precision = precision_type(cfg.precision)
    checkpoint = read_checkpoint(cfg.checkpoint)
    cfg.checkpoint = checkpoint.path  # the file, if a folder was given
    packages = list(cfg.packages)
    protocol = checkpoint.build_protocol(packages).for_prediction(cfg.num_clips, cfg.num_crops)
    model = checkpoint.build_model(protocol, packages)
    blocks = _non_local_blocks(model, checkpoint.path)
    listed = _listed(cfg, checkpoint)
    chosen = list(range(len(listed)))
    if cfg.max_videos is not None and cfg.max_videos < len(listed):
        rng = np.random.default_rng(cfg.seed)
        chosen = sorted(rng.choice(len(listed), cfg.max_videos, replace=False).tolist())
    folder = Path(cfg.output_dir)
    make_folder(folder, "hydra.run.dir")
    write_config(folder / "config.yaml", cfg)
    write_environment(folder / "environment.json")
    announce_evaluation(checkpoint.path, protocol, cfg.precision)

    model.to(choose_device(cfg.device))
    measured: dict[int, list[list[LayerRow]]] = {}
    failures = {}
    results = read_videos(
        protocol,
        [listed[video] for video in chosen],
        num_workers=cfg.num_workers,
        time_budget_seconds=cfg.time_budget_seconds,
    )
    for index, views in with_progress(results, len(chosen), "Measuring"):
        video = chosen[index]
        if isinstance(views, VideoReadError):
            failures[listed[video]] = str(views)
        else:
            measured[video] = [
                _measure(model, blocks, tensor, precision, cfg.num_pairs, [cfg.seed, video, view])
                for view, tensor in enumerate(torch.from_numpy(views))
            ]
    if not measured:
        reasons = "\n".join(failures.values())
        raise ValueError(f"none of the {len(chosen)} videos can be read:\n{reasons}")
    # In a fixed order, since a sum depends on it, and results come as they finish.
    by_video = {listed[v]: _over_views(measured[v]) for v in sorted(measured)}
    layers = _over_views(list(by_video.values()))
    _, kinds, axes, _, values = zip(*layers, strict=True)
    kind, axes = (names[0] if len(set(names)) == 1 else "mixed" for names in (kinds, axes))
    mean = LayerRow("mean", kind, axes, "", average_query_independence(values))
    statistics = QueryStatistics(layers, mean, by_video, failures)
    _write(folder, cfg, protocol, len(listed), statistics)
    return statistics


def _non_local_blocks(model: ClipClassifier, path: str) -> list[InsertedBlock]:
    blocks = inserted_blocks(model.net)
    found = [block for block in blocks if isinstance(block.module, NonLocalBlock)]
    if not found:
        kinds = sorted({block.kind for block in blocks})
        what = f"{len(blocks)} blocks of {' and '.join(kinds)}" if blocks else "no context blocks"
        raise ValueError(
            f"the net of '{path}' has {what}, but only a NonLocalBlock has an attention map for each "
            "query; use a checkpoint of a model with some, such as model=slow_nl"
        )
    return found


def _listed(cfg: DictConfig, checkpoint: Checkpoint) -> Sequence[str]:
    if cfg.videos is not None:
        if cfg.data is not None:
            raise ValueError(f"videos is '{cfg.videos}' and data is given too; give one of the two")
        return find_videos(str(cfg.videos))
    if cfg.split not in ("train", "val", "test"):
        raise ValueError(f"split is {cfg.split!r}; choose train, val or test")
    annotations = getattr(checkpoint_splits(cfg, checkpoint, cfg.split), cfg.split)
    if not len(annotations):
        raise ValueError(
            f"the {cfg.split} split lists no videos; give another split, or videos=..."
        )
    return [annotations.path(video) for video in range(len(annotations))]


@torch.inference_mode()
def _measure(
    model: ClipClassifier,
    blocks: Sequence[InsertedBlock],
    view: Tensor,
    precision: torch.dtype,
    num_pairs: int,
    seed: Sequence[int],
) -> list[LayerRow]:
    device = model.mean.device
    with captured_inputs(model.net) as inputs, computing_in(precision, device):
        model(view[None, None].to(device))
    rows = []
    for number, block in enumerate(blocks):
        module, x = block.module, inputs[block.name].float()
        assert isinstance(module, NonLocalBlock)
        # In a narrower type, small distances between maps would be rounding errors.
        with computing_in(torch.float32, device):
            measured = query_independence(module, x, num_pairs=num_pairs, seed=[*seed, number])
        name, grid = f"{block.stage}.{block.index}", "x".join(map(str, x.shape[2:]))
        rows.append(LayerRow(name, module.kind, module.axes, grid, measured))
    return rows


def _over_views(views: Sequence[Sequence[LayerRow]]) -> list[LayerRow]:
    return [
        rows[0]._replace(measured=average_query_independence([row.measured for row in rows]))
        for rows in zip(*views, strict=True)
    ]


def _write(
    folder: Path,
    cfg: DictConfig,
    protocol: EvaluationProtocol,
    num_listed: int,
    statistics: QueryStatistics,
) -> None:
    rows = [*statistics.layers, statistics.mean]
    num_videos, failures = len(statistics.videos), statistics.failures
    notes = explain(rows, cfg.num_pairs)
    chosen = num_videos + len(failures)
    subset = "" if chosen == num_listed else f" ({chosen} drawn of {num_listed}, seed {cfg.seed})"
    notes.append(
        f"{cfg.checkpoint} on {num_videos} videos{subset}; {protocol}; net in {cfg.precision}."
    )
    notes += [f"Not measured: {reason}" for reason in failures.values()]
    columns = [plain_columns(row) for row in rows]
    write_table(
        folder / "query_independence.csv",
        list(columns[0]),
        [["" if v is None else v for v in row.values()] for row in columns],
    )
    write_text(folder / "query_independence.md", markdown(rows, notes, published=cfg.published))
    write_json(
        folder / "query_independence.json",
        {
            "checkpoint": cfg.checkpoint,
            "protocol": str(protocol),
            "data": None if cfg.data is None else OmegaConf.to_container(cfg.data, resolve=True),
            "split": cfg.split if cfg.videos is None else None,
            "seed": cfg.seed,
            "num_pairs": cfg.num_pairs,
            "precision": cfg.precision,
            "videos_listed": num_listed,
            "videos_measured": num_videos,
            "views_per_video": protocol.num_views,
            "layers": columns[:-1],
            "mean": columns[-1],
            "videos": {
                path: [plain_columns(row) for row in layers]
                for path, layers in statistics.videos.items()
            },
            "failures": failures,
        },
    )
    show_tables(rows, notes, published=cfg.published)
    _CONSOLE.print(f"tables in {folder}", soft_wrap=True)
