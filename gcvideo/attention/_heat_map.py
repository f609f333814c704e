"""A map over a clip in colours: the overlay, the colour scale, and its range in words."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from gcvideo.attention._map import Cell

_COLOUR_SHARE = 0.5
_LUMA = (0.299, 0.587, 0.114)
_MIN_MARK, _MARK, _RIM = 8, (255, 255, 255), (0, 0, 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class HeatMap:
    """A map to be drawn; the range is stated in multiples of ``uniform``, the cell ``marked`` is framed.

    The colours range from 0 to the largest weight, or are symmetric about 0 if the map is signed. With
    ``uniform``, they end at no less than twice that value, so that an even map looks even.
    """

    caption: str
    weights: Float[np.ndarray, "t h w"]
    uniform: float | None = None
    is_signed: bool = False
    marked: Cell | None = None

    @property
    def colour_end(self) -> float:
        """The weight of the last colour."""
        peak = float(np.abs(self.weights).max())
        return max(peak, 2 * (self.uniform or 0)) or 1.0

    @property
    def range_text(self) -> str:
        """The largest weight (and the smallest, if signed), and the range of the colours."""
        end = self._stated(self.colour_end)
        if self.is_signed:
            lowest, highest = (self._stated(float(f(self.weights))) for f in (np.min, np.max))
            return f"{lowest} to {highest} (colours -{end} to {end})"
        unit = "" if self.uniform is None else " x uniform"
        return f"max = {self._stated(float(self.weights.max()))}{unit} (colours 0 to {end})"

    def _stated(self, weight: float) -> str:
        return f"{weight:.2g}" if self.uniform is None else f"{weight / self.uniform:.1f}"


def draw_frames(clip: UInt8[Tensor, "3 t s s"], size: int) -> UInt8[np.ndarray, "t size size 3"]:
    """The frames of a clip as pictures of ``size`` pixels."""
    return _scaled_frames(clip, size).round().to(torch.uint8).numpy()


def draw_heat_map(
    clip: UInt8[Tensor, "3 t s s"], heat: HeatMap, size: int
) -> UInt8[np.ndarray, "t size size 3"]:
    """The frames of a clip in grey under the colours of a map.

    In space, the map is scaled bilinearly; in time, a cell covers its frames.
    """
    frames = _scaled_frames(clip, size)
    cells = cell_of_frames(len(frames), len(heat.weights))
    weights = torch.from_numpy(heat.weights)[:, None].float()
    weights = F.interpolate(weights, (size, size), mode="bilinear")[cells, 0].numpy()
    colours = torch.from_numpy(_colours(weights / heat.colour_end, heat.is_signed))
    grey = (frames @ torch.tensor(_LUMA))[..., None]
    drawn = (1 - _COLOUR_SHARE) * grey + _COLOUR_SHARE * colours
    pictures = drawn.round().to(torch.uint8).numpy()
    if heat.marked is not None:
        t, *place = heat.marked
        (top, bottom), (left, right) = (
            _edges(cell, count, size)
            for cell, count in zip(place, heat.weights.shape[1:], strict=True)
        )
        for index in np.flatnonzero(cells == t):
            image = Image.fromarray(pictures[index])
            # Visible on both light and dark pictures.
            for inset, colour in ((-1, _RIM), (0, _MARK), (1, _MARK), (2, _RIM)):
                box = (left + inset, top + inset, right - 1 - inset, bottom - 1 - inset)
                ImageDraw.Draw(image).rectangle(box, outline=colour)
            pictures[index] = np.asarray(image)
    return pictures


def draw_colour_scale(
    heat: HeatMap, width: int, height: int
) -> UInt8[np.ndarray, "height width 3"]:
    """The colours of a map from its smallest to its largest weight, left to right."""
    ramp = np.linspace(-1 if heat.is_signed else 0, 1, width, dtype=np.float32)
    row = _colours(ramp, heat.is_signed).round().astype(np.uint8)
    return np.broadcast_to(row, (height, width, 3)).copy()


def cell_of_frames(num_frames: int, num_cells: int) -> np.ndarray:
    """The temporal cell of a map in which each frame of the clip lies."""
    return np.arange(num_frames) * num_cells // num_frames


def _scaled_frames(clip: UInt8[Tensor, "3 t s s"], size: int) -> Float[Tensor, "t size size 3"]:
    frames = clip.cpu().transpose(0, 1).float()
    scaled = F.interpolate(frames, (size, size), mode="bicubic", antialias=True)
    return scaled.clamp(0, 255).permute(0, 2, 3, 1)


def _colours(parts: Float[np.ndarray, "*n"], is_signed: bool) -> Float[np.ndarray, "*n 3"]:
    rgba = colormaps["coolwarm"]((parts + 1) / 2) if is_signed else colormaps["inferno"](parts)
    return 255 * rgba[..., :3].astype(np.float32)


def _edges(cell: int, num_cells: int, size: int) -> tuple[int, int]:
    """The range of pixels of a cell, widened to the minimum of a frame."""
    start, end = cell * size // num_cells, (cell + 1) * size // num_cells
    if end - start < _MIN_MARK:
        start = min(max((start + end + 1 - _MIN_MARK) // 2, 0), size - _MIN_MARK)
        end = start + _MIN_MARK
    return start, end
