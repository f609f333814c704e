"""Scores drawn on the frames of a video."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from gcvideo._draft import draft_of
from gcvideo.data import VideoReader, VideoReadError, rewrite_video
from gcvideo.data.video._stream import stream_frames
from gcvideo.inference._seconds_bar import seconds_bar

Ranking = Sequence[tuple[str, float]]

_MIN_TEXT_SIZE = 9
_TEXTS_PER_SIDE = 22
_MAX_PANEL_HEIGHT = 0.6  # of the frame
_PANEL_WIDTH = 24  # in text sizes
# White text on a white background that is darkened to this share has a contrast of 7 : 1.
_BACKGROUND_SHARE = 0.35
_INK, _BAR, _TRACK = (255, 255, 255), (64, 180, 255), (70, 70, 70)


def draw_scores(
    frame: UInt8[np.ndarray, "h w 3"], ranking: Ranking, *, max_rows: int = 3
) -> UInt8[np.ndarray, "h w 3"]:
    """A copy of a frame with names, bars and scores on a dark, translucent panel at the bottom left.

    The height of the text is 1/22 of the shorter side, but at least 9 pixels. Rows that would cover more
    than 60 % of the height are left out, names that are too long end in an ellipsis, and narrow frames
    show no numbers.

    Args:
        frame: RGB pixels.
        ranking: pairs (name, score in [0, 1]), best first; empty: nothing is drawn.
        max_rows: largest number of pairs to show.

    Raises:
        ValueError: if a score is not in [0, 1] or ``max_rows`` is less than one.
    """
    if max_rows < 1:
        raise ValueError(f"max_rows is {max_rows}; show at least 1 class")
    for name, score in ranking:
        if not 0 <= score <= 1:
            raise ValueError(
                f"the score of '{name}' is {score:g}; pass scores in [0, 1], such as those after softmax"
            )
    drawn = frame.copy()
    if not ranking:
        return drawn
    height, width = frame.shape[:2]
    text_size = max(_MIN_TEXT_SIZE, round(min(height, width) / _TEXTS_PER_SIDE))
    row_height = math.ceil(1.3 * text_size)
    num_rows = max(1, min(max_rows, len(ranking), int(_MAX_PANEL_HEIGHT * height) // row_height))
    panel = drawn[-num_rows * row_height :, : _PANEL_WIDTH * text_size]
    image = Image.fromarray((panel * _BACKGROUND_SHARE).astype(np.uint8))
    for row, (name, score) in enumerate(ranking[:num_rows]):
        _draw_row(image, row * row_height, text_size, name, score)
    panel[:] = np.asarray(image)
    return drawn


def annotate_video(
    path: str | Path,
    output: str | Path,
    rankings: Callable[[float], Ranking | None],
    *,
    max_rows: int = 3,
    square_pixels: bool = False,
    progress: bool = True,
) -> None:
    """Write a copy of a video as mp4 with scores drawn on every frame; memory holds one frame at a time.

    The frames keep their number, times and size, and the sound stays. An odd height or width grows by a
    repeated line, because 4:2:0 needs even sizes.

    Args:
        path: video to read.
        output: ``*.mp4`` to write; an existing one is replaced when the new one is complete.
        rankings: function from the seconds since the first frame to the ranking to draw, as for
            :func:`draw_scores`; None or empty: nothing is drawn.
        max_rows: number of classes, as for :func:`draw_scores`.
        square_pixels: shape of pixels, as for :class:`~gcvideo.data.VideoReader`.
        progress: whether to show a progress bar on standard error if it is a terminal.

    Raises:
        ValueError: if the output is not an mp4 or is the video itself, and as from :func:`draw_scores`.
        VideoReadError: if the video cannot be read, or is damaged.
    """
    output = Path(output)
    if output.suffix.lower() != ".mp4":
        raise ValueError(
            f"the output is '{output}', but must be an mp4; give a name that ends in .mp4"
        )
    if output.exists() and output.samefile(path):
        raise ValueError(f"'{output}' is the video itself; choose another name for the output")
    with VideoReader(path) as reader:
        timeline = reader.timeline

    def drawn() -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        num_drawn, num_frames = 0, timeline.info.num_frames
        # FFmpeg would read a relative name with a colon as a protocol.
        source = str(Path(path).absolute())
        with stream_frames(source, square_pixels=square_pixels) as stream:
            for seconds, (_, frame) in zip(timeline.seconds.tolist(), stream, strict=False):
                picture = draw_scores(frame, rankings(seconds) or [], max_rows=max_rows)
                height, width = picture.shape[:2]
                yield np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
                tell(seconds, timeline.info.duration_seconds)
                num_drawn += 1
            is_whole = num_drawn == num_frames and next(stream, None) is None
            if stream.num_damaged or not is_whole:
                raise VideoReadError(
                    str(path), f"it does not decode to the {num_frames} frames that it should have"
                )

    with seconds_bar("Annotating", show=progress) as tell, draft_of(output) as draft:
        rewrite_video(path, draft, drawn(), timeline=timeline, options={"crf": "18"})


def _draw_row(image: Image.Image, top: int, text_size: int, name: str, score: float) -> None:
    pen, font = ImageDraw.Draw(image), _font(text_size)
    gap = text_size // 3
    number = f"{score:.2f}"
    number_width = math.ceil(font.getlength("0.00")) + gap
    if image.width < 4 * number_width:
        number, number_width = "", 0
    bar_width = (image.width - number_width) // 4
    bar_end = image.width - number_width - gap
    bar_start = bar_end - bar_width + gap
    middle = top + math.ceil(1.3 * text_size) // 2
    shown = _shortened(name, font, bar_start - 2 * gap)
    pen.text((gap, middle), shown, _INK, font, anchor="lm")
    pen.text((bar_end + gap, middle), number, _INK, font, anchor="lm")
    for colour, share in ((_TRACK, 1.0), (_BAR, score)):
        length = round(share * (bar_end - bar_start))
        if length > 0:
            ends = bar_start, bar_start + length - 1
            pen.rectangle((ends[0], middle - gap, ends[1], middle + gap), colour)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # Pillow's own font has no accents; this one comes with Matplotlib.
    font = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(font), size)  # Pillow 10 takes no path


def _shortened(name: str, font: ImageFont.FreeTypeFont, max_width: float) -> str:
    # One line of valid characters, since names of files may contain any bytes.
    name = " ".join(name.encode("utf-8", "replace").decode().split())
    if font.getlength(name) <= max_width:
        return name
    cut = (name[:end].rstrip() + "…" for end in range(len(name) - 1, 0, -1))
    return next((text for text in cut if font.getlength(text) <= max_width), "")
