"""Attention maps: where the context and non-local blocks of a net look in one view."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

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
    """Within, the input (b, c, t, h, w) of each inserted block in the last forward pass, by block name."""
    blocks = inserted_blocks(net)
    if not blocks:
        raise ValueError(
            "the net contains no context block, so it has no attention maps; use a checkpoint of a model "
            "with one, such as model=slow_nl"
        )
    inputs: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        inputs[name] = args[0].detach()

    handles = [b.module.register_forward_pre_hook(partial(keep, b.name)) for b in blocks]
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
    """The weights that a block gives to the cells of its feature map."""

    layer: str  # such as "res4.5"
    kind: str  # pairwise function of a non-local block, or pooling of a context block
    # They sum to one, except for "dot_product" (which is signed) and "concatenation".
    weights: Float[np.ndarray, "t h w"]
    query: Cell | None  # None for a context block, which has one map for all queries
    uniform: float | None  # weight of each visible cell in an even map that sums to one

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
    """The maps of the blocks of a net for one view, on the grid of their layer.

    A non-local block has one map for each query, a position (t, y, x) in fractions of the view; a context
    block has a single map. A key that was pooled 2 x 2 divides its weight evenly among its four cells; a
    last odd row or column belongs to no key and has no weight. With ``axes="hw"`` or ``"t"``, a query sees
    only its own frame or place, and the rest is zero. The weights of a context block then sum to one in each
    frame or place, and are divided by the number of these. Without ``layers``, the map is that of the last
    block in res4, or of the last block if res4 has none.
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
            num_softmaxes = fold(x, block.module.axes).shape[0]
            maps.append(
                AttentionMap(
                    layer=layer,
                    kind="avg" if block.module.mask is None else "att",
                    weights=(block.module.attention(x)[0] / num_softmaxes).float().cpu().numpy(),
                    query=None,
                    uniform=1 / math.prod(x.shape[2:]),
                )
            )
        else:
            raise ValueError(
                f"the block of {layer} is a {block.kind}, which does not have one weight for each pair of "
                "positions; use a net with non-local or context blocks"
            )
    return maps


def query_cell(query: Query, grid: Sequence[int]) -> Cell:
    """The cell of a (t, h, w) grid at a position in fractions; 1 is in the last cell."""
    t, y, x = (min(int(part * size), size - 1) for part, size in zip(query, grid, strict=True))
    return t, y, x


def temporal_shares(weights: Float[np.ndarray, "t h w"]) -> Float[np.ndarray, " t"]:
    """Share of the weight in each frame of a map; the shares of a map of zeros are zero.

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
    # As floats, which are exact for these integers, because fold takes only floats.
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
            spread = weights.repeat_interleave(2, 1).repeat_interleave(2, 2) / 4
            weights = F.pad(spread, (0, w - spread.shape[2], 0, h - spread.shape[1]))
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
