"""An animation of maps over the frames of a clip."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from gcvideo._draft import draft_of
from gcvideo.attention._heat_map import (
    HeatMap,
    caption_font,
    cell_of_frames,
    draw_colour_scale,
    draw_frames,
    draw_heat_map,
)
from gcvideo.attention._map import temporal_shares
from gcvideo.data import write_video

_TILE, _GAP, _TEXT_SIZE, _LINE_HEIGHT, _SCALE_HEIGHT = 224, 8, 13, 17, 8
_MAX_COLUMNS, _SAMPLE_STEP = 5, 5
_GROUND, _INK = (24, 24, 24), (255, 255, 255)


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
    pictures = _pictures(clip, maps)
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


def _pictures(
    clip: UInt8[Tensor, "3 t s s"], maps: Sequence[HeatMap]
) -> list[UInt8[np.ndarray, "h w 3"]]:
    num_frames = clip.shape[1]
    frames = draw_frames(clip, _TILE)
    tiles = [draw_heat_map(clip, heat, _TILE) for heat in maps]
    shares = [temporal_shares(heat.weights) for heat in maps]
    num_characters = int(_TILE / caption_font(_TEXT_SIZE).getlength("0"))
    captions = [textwrap.wrap(f"{m.caption}: {m.range_text}", num_characters) for m in maps]
    # One more line for the share of the frame.
    text_height = (max(map(len, captions)) + 1) * _LINE_HEIGHT
    cell_height = _TILE + _SCALE_HEIGHT + text_height + 2 * _GAP
    num_columns = min(_MAX_COLUMNS, len(maps) + 1)
    num_rows = math.ceil((len(maps) + 1) / num_columns)
    # 4:2:0 needs an even height and width.
    width = math.ceil((num_columns * (_TILE + _GAP) + _GAP) / 2) * 2
    height = math.ceil((num_rows * cell_height + _GAP) / 2) * 2
    pictures = []
    for index in range(num_frames):
        picture = Image.new("RGB", (width, height), _GROUND)
        for place in range(len(maps) + 1):
            row, column = divmod(place, num_columns)
            corner = (_GAP + column * (_TILE + _GAP), _GAP + row * cell_height)
            if place == 0:
                picture.paste(Image.fromarray(frames[index]), corner)
                _write(picture, corner, [f"frame {index + 1} of {num_frames}"])
                continue
            heat, share = maps[place - 1], shares[place - 1]
            picture.paste(Image.fromarray(tiles[place - 1][index]), corner)
            scale = Image.fromarray(draw_colour_scale(heat, _TILE, _SCALE_HEIGHT))
            picture.paste(scale, (corner[0], corner[1] + _TILE + 2))
            now = share[cell_of_frames(num_frames, len(share))[index]]
            _write(picture, corner, [f"this frame: {now:.1%}", *captions[place - 1]])
        pictures.append(np.asarray(picture))
    return pictures


def _write(picture: Image.Image, corner: tuple[int, int], lines: Sequence[str]) -> None:
    pen, font = ImageDraw.Draw(picture), caption_font(_TEXT_SIZE)
    top = corner[1] + _TILE + _SCALE_HEIGHT + _GAP
    for number, line in enumerate(lines):
        pen.text((corner[0], top + number * _LINE_HEIGHT), line, _INK, font)
