"""What nets cost, with and without context blocks: parameters and multiply-accumulates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo.command._assembly import build
from gcvideo.command._output_check import check_folder
from gcvideo.command.configuration._composition import compose_model
from gcvideo.comparison._table import Table, describe_blocks
from gcvideo.data.listing._list_file import write_table, write_text
from gcvideo.models import Cost, count_cost
from gcvideo.models._insertion import inserted_blocks

# GCNet (arXiv:1904.11492), Kinetics table: Slow R50 8x8 with 400 classes.
PUBLISHED_PARAMETERS = {
    "slow": 32.45e6,
    "slow_nl": 39.81e6,
    "slow_snl": 36.13e6,
    "slow_gc": 34.30e6,
    "slow_gc placement@model.placement=all": 42.46e6,
}
_CONVENTION = (
    "MACs: multiply-accumulates of convolutions, linear layers and attention products for one view. "
    "Normalisation, activations, pooling and sums do not count. Papers mostly call this number FLOPs.",
    "M params: million parameters. GMACs 224: 10^9 MACs at a crop of 224 pixels. "
    "blocks, + M and + GMACs: number of inserted context blocks, and what they add.",
    "published: million parameters in GCNet (arXiv:1904.11492), for Slow R50 8x8.",
)
_CONSOLE = Console()


@dataclass(frozen=True)
class ModelCost:
    """Cost of a model, at each crop size, and the number of parameters in GCNet's Kinetics table."""

    words: str
    blocks: str
    costs: tuple[Cost, ...]
    published_parameters: float | None


def cost(cfg: DictConfig) -> list[ModelCost]:
    """Count what models cost, as configured by ``conf/cost.yaml``, and print the table.

    Nets have 400 classes and the settings of ``conf/recipe/kinetics400.yaml``. With ``output``, a
    folder gets ``cost.csv`` and ``cost.md``.

    Raises:
        ValueError: for no models or crop sizes, ones that are too small, or unknown models.
    """
    crop_sizes = list(cfg.crop_sizes)
    if not cfg.models or not crop_sizes or cfg.num_frames < 1 or min(crop_sizes) < 32:
        raise ValueError(
            f"models is {cfg.models}, num_frames {cfg.num_frames}, crop_sizes {crop_sizes}; give at "
            "least one model, 1 frame, and crops of at least 32 pixels, which the nets shrink to one cell"
        )
    if cfg.output is not None:
        check_folder(cfg.output, "output")
    found = [_count(str(words), cfg.num_frames, crop_sizes) for words in cfg.models]
    notes = [*_CONVENTION, *_block_notes(found)]
    table = _table(found)
    _CONSOLE.print(table.on_screen(f"{cfg.num_frames} frames, 400 classes"), *notes, sep="\n")
    if cfg.output is not None:
        folder = Path(cfg.output)
        folder.mkdir(parents=True, exist_ok=True)
        write_table(folder / "cost.csv", _COLUMNS, _rows(found))
        text = "\n\n".join([f"{cfg.num_frames} frames, 400 classes.", *notes])
        write_text(folder / "cost.md", f"{table.markdown()}\n{text}\n")
        _CONSOLE.print(f"written to {folder}", soft_wrap=True)
    return found


def _count(words: str, num_frames: int, crop_sizes: Sequence[int]) -> ModelCost:
    cfg = compose_model(words, "recipe=kinetics400", "num_classes=400", f"num_frames={num_frames}")
    with torch.device("meta"):
        net = build(cfg.model.net)
    inserted = inserted_blocks(net)
    blocks = describe_blocks([f"{b.stage}.{b.index} {b.kind}" for b in inserted])
    if inserted:
        settings = (f"{key}={value}" for key, value in cfg.model.block.items() if key[0] != "_")
        blocks += f" ({', '.join(settings)})"
    return ModelCost(
        words=words,
        blocks=blocks,
        costs=tuple(count_cost(net, num_frames, size) for size in crop_sizes),
        published_parameters=PUBLISHED_PARAMETERS.get(words) if num_frames == 8 else None,
    )


def _block_notes(models: Sequence[ModelCost]) -> Iterator[str]:
    """One line for each kind of inserted blocks, with the models that have them."""
    for blocks in dict.fromkeys(model.blocks for model in models):
        if blocks != "none":
            names = [f"`{model.words}`" for model in models if model.blocks == blocks]
            yield f"{', '.join(names)}: {blocks}"


def _table(models: Sequence[ModelCost]) -> Table:
    header = ["model", "blocks", "M params", "+ M", "published"]
    for one in models[0].costs:
        header += [f"GMACs {one.crop_size}", "+ GMACs"]
    rows = []
    for model in models:
        published = model.published_parameters
        first = model.costs[0]
        row = [model.words, str(len(first.blocks))]
        row += [f"{n / 1e6:.2f}" for n in (first.num_parameters, first.num_block_parameters)]
        row.append("" if published is None else f"{published / 1e6:.2f}")
        for one in model.costs:
            row += [f"{one.macs / 1e9:.2f}", f"{one.block_macs / 1e9:.3f}"]
        rows.append(tuple(row))
    return Table(tuple(header), tuple(rows))


_COLUMNS = (
    *("model", "num_frames", "crop_size", "num_blocks", "parameters", "published_parameters"),
    *("block_parameters", "macs", "block_macs"),
)


def _rows(models: Sequence[ModelCost]) -> Iterator[tuple[object, ...]]:
    for model in models:
        published = model.published_parameters
        for one in model.costs:
            yield (
                *(model.words, one.num_frames, one.crop_size, len(one.blocks), one.num_parameters),
                "" if published is None else round(published),
                *(one.num_block_parameters, one.macs, one.block_macs),
            )
