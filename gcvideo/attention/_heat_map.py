"""A map over a clip in colours: overlay, scale and words that state its range."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib import colormaps, get_data_path
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from gcvideo.attention._map import Cell

_COLOUR_SHARE = 0.5
_LUMA = (0.299, 0.587, 0.114)
_MIN_MARK, _MARK, _RIM = 8, (255, 255, 255), (0, 0, 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class HeatMap:
    """A map as it is drawn.

    The colours begin at 0, or are symmetric about it if the map is signed, and end at the largest
    weight; with ``uniform`` at twice that value at least, so that an even map looks even.

    Args:
        caption: what the map shows, in one line.
        weights: on any grid over the clip.
        uniform: weight that the range is stated in multiples of; None: stated as it is.
        is_signed: whether weights below zero have colours of their own.
        marked: cell (t, y, x) with a frame around it, of 8 pixels at least.
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
        """The largest weight, if signed also the smallest, and the range of the colours."""
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

    The map is scaled bilinearly in space; in time a cell covers the frames that it stands for.
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
            pictures[index] = _framed(pictures[index], (left, top, right, bottom))
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


@lru_cache
def caption_font(size: int) -> ImageFont.FreeTypeFont:
    """A font in which all characters are equally wide; Matplotlib's, for Pillow's knows no accents."""
    folder = Path(get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / "DejaVuSansMono.ttf"), size)  # Pillow 10 takes no path


def _scaled_frames(clip: UInt8[Tensor, "3 t s s"], size: int) -> Float[Tensor, "t size size 3"]:
    frames = clip.cpu().transpose(0, 1).float()
    scaled = F.interpolate(frames, (size, size), mode="bicubic", antialias=True)
    return scaled.clamp(0, 255).permute(0, 2, 3, 1)


def _colours(parts: Float[np.ndarray, "*n"], is_signed: bool) -> Float[np.ndarray, "*n 3"]:
    if is_signed:
        return 255 * colormaps["coolwarm"]((parts + 1) / 2)[..., :3].astype(np.float32)
    return 255 * colormaps["inferno"](parts)[..., :3].astype(np.float32)


def _edges(cell: int, num_cells: int, size: int) -> tuple[int, int]:
    """First pixel and the one behind the last of a cell, widened to what a frame needs."""
    start, end = cell * size // num_cells, (cell + 1) * size // num_cells
    if end - start < _MIN_MARK:
        start = min(max((start + end + 1 - _MIN_MARK) // 2, 0), size - _MIN_MARK)
        end = start + _MIN_MARK
    return start, end


def _framed(
    picture: UInt8[np.ndarray, "h w 3"], box: tuple[int, int, int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    left, top, right, bottom = box
    # Visible on light and dark alike.
    for inset, colour in ((-1, _RIM), (0, _MARK), (1, _MARK), (2, _RIM)):
        pen.rectangle(
            (left + inset, top + inset, right - 1 - inset, bottom - 1 - inset), outline=colour
        )
    return np.asarray(image)
