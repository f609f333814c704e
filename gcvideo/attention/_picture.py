"""Maps over the frames of a clip: a sheet of all frames, and an animation."""

import math
import textwrap
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import get_data_path
from matplotlib.image import imsave
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gcvideo._draft import draft_of
from gcvideo.attention._heat_map import (
    HeatMap,
    cell_of_frames,
    draw_colour_scale,
    draw_frames,
    draw_heat_map,
)
from gcvideo.attention._map import temporal_shares
from gcvideo.data import write_video

_GROUND, _INK, _BAR, _EVEN = (255, 255, 255), (24, 24, 24), (64, 140, 220), (190, 80, 0)
# Of the sheet, in pixels at 300 dpi: two columns of a paper, 7.16 inches, and letters of 6 and 5 points.
_DPI, _WIDTH, _MIN_TILE, _MAX_TILE = 300, 2148, 96, 400
_GAP, _CAPTION_SIZE, _NUMBER_SIZE = 8, 25, 21
_CAPTION_HEIGHT, _NUMBER_HEIGHT, _SCALE_WIDTH, _CURVE_HEIGHT = 42, 32, 220, 80
# Of the animation.
_TILE, _SPACE, _TEXT_SIZE, _LINE_HEIGHT, _SCALE_HEIGHT = 224, 8, 13, 17, 8
_MAX_COLUMNS, _SAMPLE_STEP = 5, 5


def write_attention_sheet(
    path: Path,
    clip: UInt8[Tensor, "3 t s s"],
    maps: Sequence[HeatMap],
    *,
    title: str,
) -> None:
    """Write maps over the frames of a clip as one picture, with a row per map and a column per frame.

    The suffix of the path is png, pdf or svg. At 300 dpi, up to 20 frames fill two columns of a paper, 7.16
    inches; wider sheets have more dots in that width.

    Above each row are its caption and the range of its colours. Below it, a curve of steps shows the share
    of the weight in each frame, which sums to 100 %, with a dashed line at equal shares. All curves have
    the same scale.
    """
    num_frames = clip.shape[1]
    tile = max(_MIN_TILE, min(_MAX_TILE, (_WIDTH - _GAP) // num_frames - _GAP))
    captions = [f"{heat.caption}: {heat.range_text}" for heat in maps]
    font, number_font = _font(_CAPTION_SIZE), _font(_NUMBER_SIZE)
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
        middle = _GAP + column * (tile + _GAP) + tile // 2, 2 * _CAPTION_HEIGHT
        pen.text(middle, f"frame {column + 1}", _INK, number_font, anchor="ms")
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
        dpi = max(_DPI, _DPI * sheet.width / _WIDTH)
        if path.suffix == ".png":
            sheet.save(draft, "PNG", dpi=(dpi, dpi))
        else:
            imsave(draft, np.asarray(sheet), format=path.suffix.removeprefix("."), dpi=dpi)


def write_attention_animation(
    path: Path,
    clip: UInt8[Tensor, "3 t s s"],
    maps: Sequence[HeatMap],
    *,
    frames_per_second: float,
) -> None:
    """Write a clip and its maps side by side as an mp4, or as a gif that repeats forever.

    Below each map are its colours, their range, and the share of the weight in the current frame. A gif
    rounds the time of a frame to hundredths of a second.
    """
    if not frames_per_second > 0:
        raise ValueError(
            f"frames_per_second is {frames_per_second:g}; give the pace of the clip, above 0"
        )
    pictures = _animated(clip, maps)
    with draft_of(path) as draft:
        if path.suffix == ".mp4":
            write_video(draft, pictures, fps=frames_per_second, options={"crf": "18"})
            return
        # One palette for all pictures, so that nothing flickers; dithering, so that there are no edges.
        sample = np.concatenate(pictures)[::_SAMPLE_STEP, ::_SAMPLE_STEP]
        palette = Image.fromarray(np.ascontiguousarray(sample)).quantize(256)
        first, *others = [Image.fromarray(p).quantize(palette=palette) for p in pictures]
        duration = round(1000 / frames_per_second)
        first.save(draft, save_all=True, append_images=others, duration=duration, loop=0)


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
        pen.text(middle, f"{share:.1%}", _INK, _font(_NUMBER_SIZE), anchor="mt")
    even = floor - round(unit / len(shares))
    for left in range(_GAP, width, 16):
        pen.line((left, even, left + 7, even), _EVEN, width=2)
    pen.line((_GAP, floor + 1, width - 1, floor + 1), _INK, width=2)


def _animated(
    clip: UInt8[Tensor, "3 t s s"], maps: Sequence[HeatMap]
) -> list[UInt8[np.ndarray, "h w 3"]]:
    """One picture per frame: the frame and its maps, row by row, each above its lines of text."""
    num_frames, font = clip.shape[1], _font(_TEXT_SIZE)
    num_characters = int(_TILE / font.getlength("0"))
    tiles = [draw_frames(clip, _TILE), *(draw_heat_map(clip, heat, _TILE) for heat in maps)]
    lines = [[[f"frame {index + 1} of {num_frames}"] for index in range(num_frames)]]
    for heat in maps:
        caption = textwrap.wrap(f"{heat.caption}: {heat.range_text}", num_characters)
        cells = cell_of_frames(num_frames, len(heat.weights))
        shares = temporal_shares(heat.weights)[cells]
        lines.append([[f"this frame: {share:.1%}", *caption] for share in shares])
    text_height = max(len(of_frame) for of_map in lines for of_frame in of_map) * _LINE_HEIGHT
    cell_height = _TILE + _SCALE_HEIGHT + text_height + 2 * _SPACE
    num_columns = min(_MAX_COLUMNS, len(tiles))
    num_rows = math.ceil(len(tiles) / num_columns)
    # 4:2:0 needs an even height and width.
    width = math.ceil((num_columns * (_TILE + _SPACE) + _SPACE) / 2) * 2
    height = math.ceil((num_rows * cell_height + _SPACE) / 2) * 2
    pictures = [Image.new("RGB", (width, height), _GROUND) for _ in range(num_frames)]
    for place in range(len(tiles)):
        row, column = divmod(place, num_columns)
        left, top = _SPACE + column * (_TILE + _SPACE), _SPACE + row * cell_height
        for picture, tile, texts in zip(pictures, tiles[place], lines[place], strict=True):
            picture.paste(Image.fromarray(tile), (left, top))
            if place > 0:
                scale = draw_colour_scale(maps[place - 1], _TILE, _SCALE_HEIGHT)
                picture.paste(Image.fromarray(scale), (left, top + _TILE + 2))
            for number, text in enumerate(texts):
                y = top + _TILE + _SCALE_HEIGHT + _SPACE + number * _LINE_HEIGHT
                ImageDraw.Draw(picture).text((left, y), text, _INK, font)
    return [np.asarray(picture) for picture in pictures]


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """A font with characters of equal width; Matplotlib's, since Pillow's has no accents."""
    folder = Path(get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / "DejaVuSansMono.ttf"), size)  # Pillow 10 takes no path
