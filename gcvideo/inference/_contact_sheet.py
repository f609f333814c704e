"""Sheets of the frames that a net sees."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gcvideo._draft import draft_of
from gcvideo.data import EvaluationProtocol, VideoReader, read_views

_GAP = 2
_CAPTION_SIZE = 14
_GROUND, _INK = (32, 32, 32), (255, 255, 255)


def write_contact_sheet(
    path: str | Path,
    views: UInt8[Tensor, "v 3 t s s"],
    *,
    captions: Sequence[str] | None = None,
    max_frame_size: int = 160,
) -> None:
    """Write the frames that the net sees as one PNG, with a row per view and a column per frame.

    Args:
        path: image to write, ``*.png``; an existing one is replaced when the new one is complete.
        views: views of one video, from :func:`gcvideo.data.read_views`.
        captions: line of text above each row; None: no text.
        max_frame_size: pixels that larger frames are scaled down to; smaller frames stay as they are.

    Raises:
        ValueError: if the path is not a PNG, there is no frame, the number of captions is not that of the
            views, or the size is not positive.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(
            f"a contact sheet is a PNG, but the path is '{path}'; give a name that ends in .png"
        )
    sheet = contact_sheet(views, captions=captions, max_frame_size=max_frame_size)
    with draft_of(path) as draft:
        sheet.save(draft, "PNG")


def contact_sheet(
    views: UInt8[Tensor, "v 3 t s s"],
    *,
    captions: Sequence[str] | None = None,
    max_frame_size: int = 160,
) -> Image.Image:
    """The picture that :func:`write_contact_sheet` writes; raises as it does."""
    num_views, _, num_frames, size, _ = views.shape
    if not views.numel():
        raise ValueError(f"views of shape {tuple(views.shape)} contain no frame; pass at least one")
    if captions is not None and len(captions) != num_views:
        raise ValueError(
            f"{len(captions)} captions for {num_views} views; pass one for each, or None"
        )
    if max_frame_size < 1:
        raise ValueError(f"max_frame_size is {max_frame_size}; allow at least 1 pixel")
    tile, font = min(size, max_frame_size), ImageFont.load_default(_CAPTION_SIZE)
    caption_height = 0 if captions is None else round(1.5 * _CAPTION_SIZE)
    row_height = caption_height + tile + _GAP
    caption_width = max((round(font.getlength(caption)) for caption in captions or ()), default=0)
    width = max(num_frames * (tile + _GAP), caption_width + _GAP) + _GAP
    sheet = Image.new("RGB", (width, num_views * row_height + _GAP), _GROUND)
    pen = ImageDraw.Draw(sheet)
    for row, frames in enumerate(views.permute(0, 2, 3, 4, 1).cpu().numpy()):
        top = _GAP + row * row_height
        if captions is not None:
            pen.text((_GAP, top), captions[row], _INK, font)
        for column, frame in enumerate(frames):
            image = Image.fromarray(np.ascontiguousarray(frame))
            if size != tile:
                image = image.resize((tile, tile), Image.Resampling.BOX)
            sheet.paste(image, (_GAP + column * (tile + _GAP), top + caption_height))
    return sheet


def write_view_sheet(path: str | Path, video: str | Path, protocol: EvaluationProtocol) -> None:
    """Write a contact sheet of the views of a video, with the numbers of their frames."""
    with VideoReader(video) as reader:
        clips, num_frames = protocol.test_clips(reader.timeline), reader.info.num_frames
    captions = [
        f"clip {k} crop {crop}: frames {' '.join(map(str, clip.tolist()))} of {num_frames}"
        for k, clip in enumerate(clips)
        for crop in range(protocol.num_crops)
    ]
    write_contact_sheet(path, read_views(str(video), protocol), captions=captions)
