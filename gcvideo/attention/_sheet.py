"""A picture of maps over the frames of a clip."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from gcvideo._draft import draft_of
from gcvideo.attention._heat_map import (
    HeatMap,
    caption_font,
    draw_colour_scale,
    draw_frames,
    draw_heat_map,
)
from gcvideo.attention._map import temporal_shares

_WIDTH, _MIN_TILE, _MAX_TILE = 2400, 72, 144
_GAP, _CAPTION_SIZE, _NUMBER_SIZE = 4, 14, 12
_CAPTION_HEIGHT, _NUMBER_HEIGHT, _SCALE_WIDTH, _CURVE_HEIGHT = 24, 18, 160, 40
_GROUND, _INK, _BAR, _EVEN = (24, 24, 24), (255, 255, 255), (64, 140, 220), (255, 200, 60)


def write_attention_sheet(
    path: Path,
    clip: UInt8[Tensor, "3 t s s"],
    maps: Sequence[HeatMap],
    *,
    title: str,
) -> None:
    """Write maps over the frames of a clip as one PNG, with a row per map and a column per frame.

    Above each row are its caption and the range of its colours. Below it, a curve of steps shows the share
    of the weight in each frame, which sums to 100 %, with a dashed line at equal shares. All curves have
    the same scale.
    """
    num_frames = clip.shape[1]
    tile = max(_MIN_TILE, min(_MAX_TILE, _WIDTH // num_frames))
    captions = [f"{heat.caption}: {heat.range_text}" for heat in maps]
    font = caption_font(_CAPTION_SIZE)
    text_width = max(
        font.getlength(title),
        *(font.getlength(text) + _SCALE_WIDTH + 3 * _GAP for text in captions),
    )
    frames_height = 2 * _CAPTION_HEIGHT + tile + 3 * _GAP
    row_height = _CAPTION_HEIGHT + tile + _GAP + _CURVE_HEIGHT + _NUMBER_HEIGHT + 2 * _GAP
    width = max(num_frames * (tile + _GAP), round(text_width) + _GAP) + _GAP
    sheet = Image.new("RGB", (width, frames_height + len(maps) * row_height), _GROUND)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, _GAP), title, _INK, font)
    for column in range(num_frames):
        middle = _GAP + column * (tile + _GAP) + tile // 2
        text = f"frame {column + 1}"
        pen.text((middle, 2 * _CAPTION_HEIGHT), text, _INK, caption_font(_NUMBER_SIZE), anchor="ms")
    _paste_row(sheet, draw_frames(clip, tile), 2 * _CAPTION_HEIGHT + _GAP)
    shares = [temporal_shares(heat.weights) for heat in maps]
    top_share = max(float(share.max()) for share in shares) or 1.0
    for row, (heat, caption) in enumerate(zip(maps, captions, strict=True)):
        top = frames_height + row * row_height
        pen.text((_GAP, top), caption, _INK, font)
        scale = Image.fromarray(draw_colour_scale(heat, _SCALE_WIDTH, _CAPTION_SIZE))
        sheet.paste(scale, (round(font.getlength(caption)) + 3 * _GAP, top + 2))
        _paste_row(sheet, draw_heat_map(clip, heat, tile), top + _CAPTION_HEIGHT)
        floor = top + _CAPTION_HEIGHT + tile + _GAP + _CURVE_HEIGHT
        _draw_curve(pen, shares[row], top_share, floor, num_frames * (tile + _GAP))
    with draft_of(path) as draft:
        sheet.save(draft, "PNG")


def _paste_row(sheet: Image.Image, tiles: UInt8[np.ndarray, "t s s 3"], top: int) -> None:
    for column, picture in enumerate(tiles):
        left = _GAP + column * (picture.shape[1] + _GAP)
        sheet.paste(Image.fromarray(picture), (left, top))


def _draw_curve(
    pen: ImageDraw.ImageDraw,
    shares: Float[np.ndarray, " t"],
    top_share: float,
    floor: int,
    width: int,
) -> None:
    """Draw a step for each temporal cell of the map, as wide as the frames that it covers."""
    unit = _CURVE_HEIGHT / top_share
    for cell, share in enumerate(shares.tolist()):
        left, right = (_GAP + edge * width // len(shares) for edge in (cell, cell + 1))
        right -= _GAP + 1
        height = round(share * unit)
        if height > 0:
            pen.rectangle((left, floor - height + 1, right, floor), _BAR)
        middle = (left + right) // 2, floor + 5
        pen.text(middle, f"{share:.1%}", _INK, caption_font(_NUMBER_SIZE), anchor="mt")
    even = floor - round(unit / len(shares))
    for left in range(_GAP, width, 8):
        pen.line((left, even, left + 3, even), _EVEN)
    pen.line((_GAP, floor + 1, width - 1, floor + 1), _INK)
