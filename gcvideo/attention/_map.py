"""Where the context and non-local blocks of a net look on one view."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from gcvideo.models import ClipClassifier, InsertedBlock, inserted_blocks
from gcvideo.nn import ContextBlock, NonLocalBlock
from gcvideo.nn._grid import fold, unfold


@contextmanager
def captured_inputs(net: nn.Module) -> Iterator[dict[str, Tensor]]:
    """What each inserted block of a net is given in the forward passes within, by the block's name.

    The (b, c, t, h, w) feature map in front of the block, of the last pass; what a block adds to it is
    ``block(x) - x``.
    """
    blocks = inserted_blocks(net)
    if not blocks:
        raise ValueError(
            "the net holds no context block, so there is no attention to look at; take a checkpoint of "
            "a model with one, such as model=slow_nl"
        )
    inputs: dict[str, Tensor] = {}

    def keeping(name: str) -> Any:
        def keep(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            inputs[name] = args[0].detach()

        return keep

    handles = [block.module.register_forward_pre_hook(keeping(block.name)) for block in blocks]
    try:
        yield inputs
    finally:
        for handle in handles:
            handle.remove()


Query = Sequence[float]
Cell = tuple[int, int, int]

DEFAULT_QUERIES: tuple[Query, ...] = tuple(
    (t, y, x) for t in (0.25, 0.75) for y, x in ((0.25, 0.25), (0.25, 0.75), (0.75, 0.5))
)
"""Upper left, upper right and lower middle, early and late: six cells also on a grid of 2 x 2 x 2."""


@dataclass(frozen=True, eq=False, kw_only=True)
class AttentionMap:
    """Weights that a block gives to the cells of its feature map.

    Args:
        layer: stage and index of the residual block, such as "res4.5".
        kind: the pairwise function of a non-local block, the pooling of a context block.
        weights: they sum to one, but for the kinds "dot_product" (signed) and "concatenation".
        query: cell (t, y, x) that looks; None: all look alike, as in a context block.
        uniform: weight of a cell if all that the query sees had the same; None where the weights
            do not sum to one.
    """

    layer: str
    kind: str
    weights: Float[np.ndarray, "t h w"]
    query: Cell | None
    uniform: float | None

    @property
    def is_signed(self) -> bool:
        return self.kind == "dot_product"


@torch.inference_mode()
def attention_maps(
    model: ClipClassifier,
    view: UInt8[Tensor, "3 t h w"],
    *,
    queries: Sequence[Query] = DEFAULT_QUERIES,
    layers: Sequence[str] | None = None,
) -> list[AttentionMap]:
    """The maps of a net's blocks on one view, on the grid of the layer.

    A non-local block has one map for each query, a context block a single one. Keys that were pooled
    2 x 2 share their weight out evenly among their four cells; a last odd row or column is not a key
    and has none. With ``axes="hw"`` or ``"t"`` a query sees its own frame or its own place: all
    else is zero. The weights of a context block, which then sum to one in each frame or place,
    are divided by the number of these.

    Args:
        model: net in evaluation mode.
        view: clip, as :func:`gcvideo.data.read_views` gives it.
        queries: positions (t, y, x) as fractions of the view, each in [0, 1].
        layers: names such as "res4.5"; None: the last block of res4, or of the net if res4 has none.
    """
    if model.training:
        raise ValueError("the net is in training mode, where its maps change; call model.eval()")
    for query in queries:
        if len(query) != 3 or not all(0 <= part <= 1 for part in query):
            raise ValueError(
                f"the query {list(query)} is not a position; give [t, y, x] as fractions of the clip from 0 "
                "to 1, such as [0.5,0.5,0.5] for its middle"
            )
    with captured_inputs(model.net) as inputs:
        blocks = _chosen_blocks(inserted_blocks(model.net), layers)
        model(view[None, None].to(model.mean.device))
    maps: list[AttentionMap] = []
    for layer, block in blocks.items():
        x = inputs[block.name]
        if isinstance(block.module, NonLocalBlock):
            cells = [query_cell(query, x.shape[2:]) for query in queries]
            maps.extend(_query_maps(layer, block.module, x, cells))
        elif isinstance(block.module, ContextBlock):
            maps.append(_context_map(layer, block.module, x))
        else:
            raise ValueError(
                f"the block of {layer} is a {block.kind}, which has no map of one weight for each pair of "
                "positions; look at a net with non-local or context blocks"
            )
    return maps


def query_cell(query: Query, grid: Sequence[int]) -> Cell:
    """The cell of a (t, h, w) grid that holds a position given in fractions; 1 is the last cell."""
    t, y, x = (min(int(part * size), size - 1) for part, size in zip(query, grid, strict=True))
    return t, y, x


def temporal_shares(weights: Float[np.ndarray, "t h w"]) -> Float[np.ndarray, " t"]:
    """Share of the weight in each frame of a map; they sum to one, and to zero for a map of zeros.

    s_t = sum_hw |a_thw| / sum_thw |a_thw|
    """
    mass = np.abs(weights).sum((1, 2), dtype=np.float64)
    return mass / max(mass.sum(), np.finfo(np.float64).tiny)


def _chosen_blocks(
    blocks: Iterable[InsertedBlock], layers: Sequence[str] | None
) -> dict[str, InsertedBlock]:
    by_layer = {f"{block.stage}.{block.index}": block for block in blocks}
    if layers is None:
        in_res4 = [layer for layer in by_layer if layer.startswith("res4.")]
        layers = (in_res4 or list(by_layer))[-1:]
    for layer in layers:
        if layer not in by_layer:
            raise ValueError(f"no block at '{layer}'; the net has some at {', '.join(by_layer)}")
    return {layer: by_layer[layer] for layer in layers}


def _query_maps(
    layer: str, block: NonLocalBlock, x: Float[Tensor, "1 c t h w"], cells: Sequence[Cell]
) -> list[AttentionMap]:
    t, h, w = grid = x.shape[2:]
    is_pooled = block.sub_sample != "none"
    key_grid = (t, h // 2, w // 2) if is_pooled else grid
    # Floats, which hold these integers exactly, because only they are folded.
    numbers = torch.arange(math.prod(grid), dtype=torch.float64).view(1, 1, *grid)
    positions = fold(numbers, block.axes)[:, 0]
    places = [
        positions.eq(int(np.ravel_multi_index(cell, grid))).nonzero()[0].tolist() for cell in cells
    ]
    queries = torch.tensor([position for _, position in places], dtype=torch.int64)
    rows = block.attention_rows(x)(queries)
    maps = []
    for row, (cell, (group, _)) in enumerate(zip(cells, places, strict=True)):
        seen = torch.zeros_like(rows[:, :1])
        seen[group, 0] = rows[group, row]
        weights = unfold(seen, key_grid, block.axes)[0, 0]
        if is_pooled:
            weights = _spread(weights, h, w)
        num_seen = rows.shape[2] * (4 if is_pooled else 1)
        sums_to_one = block.kind in ("gaussian", "embedded_gaussian")
        maps.append(
            AttentionMap(
                layer=layer,
                kind=block.kind,
                weights=weights.float().cpu().numpy(),
                query=cell,
                uniform=1 / num_seen if sums_to_one else None,
            )
        )
    return maps


def _spread(weights: Float[Tensor, "t h2 w2"], h: int, w: int) -> Float[Tensor, "t h w"]:
    cells = weights.repeat_interleave(2, 1).repeat_interleave(2, 2) / 4
    return F.pad(cells, (0, w - cells.shape[2], 0, h - cells.shape[1]))


def _context_map(layer: str, block: ContextBlock, x: Float[Tensor, "1 c t h w"]) -> AttentionMap:
    num_softmaxes = fold(x, block.axes).shape[0]
    return AttentionMap(
        layer=layer,
        kind="avg" if block.mask is None else "att",
        weights=(block.attention(x)[0] / num_softmaxes).float().cpu().numpy(),
        query=None,
        uniform=1 / math.prod(x.shape[2:]),
    )
