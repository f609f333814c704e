"""The cue set: videos whose class depends on things at different times and places together."""

import numpy as np
from jaxtyping import Bool, UInt8

from gcvideo.data.loading._source import VideoSplits
from gcvideo.data.made._generated_set import generated_set

CUE_PERIOD = 6
"""Frames after which a cue video repeats its three things."""

_COLOURS = ((230, 40, 40), (40, 40, 230))
_GREY = 128


def _shapes(size: int) -> dict[str, Bool[np.ndarray, "s s"]]:
    """Masks whose mirror images show the same shape, so that a flip keeps the class."""
    y, x = np.mgrid[:size, :size]
    border = np.minimum.reduce([x, y, size - 1 - x, size - 1 - y])
    return {
        "columns": x // 2 % 2 == 0,
        "cross": np.minimum(abs(x - y), abs(x + y - size + 1)) <= 1,
        "ring": border < 2,
        "rows": y // 2 % 2 == 0,
    }


_GLYPH_SIZE = 12
# Bars 2 pixels wide at multiples of 4 fall on whole chroma samples of 4:2:0 video, so that coding
# preserves the colours. With bars of 3 pixels a net learned far less in the same time.
_PLACE_STEP = 4
CUE_SHAPES = _shapes(_GLYPH_SIZE)


def cue_videos(
    *,
    root: str | None = None,
    train_per_class: int = 240,
    val_per_class: int = 25,
    test_per_class: int = 100,
    rounds: int = 3,
    size: int = 28,
    seed: int = 0,
) -> VideoSplits:
    """Videos whose class combines things apart in time and space, as h264 files made on first use.

    A red and a blue glyph of different shapes and a plain square, the cue, flash up at random places,
    each for one frame, two frames apart; then again, elsewhere. The class is the shape of the glyph
    that has the colour of the cue. Any six frames in a row show each thing once.

    Without the cue, each of the two shapes is right in half of the cases. If frames only meet in an
    average before a linear layer, logits are sums of what each thing says by itself, and the smallest
    cross-entropy of such sums is ln 2, where the two shapes tie.

    Args:
        root: folder to keep the set in; None: ``$GCVIDEO_CACHE``, else ``~/.cache/gcvideo``.
        train_per_class: training videos of each of four shapes.
        val_per_class: validation videos of each shape.
        test_per_class: test videos of each shape.
        rounds: times that a video shows its three things; 6 frames each, at 30 per second.
        size: height and width in pixels; even.
        seed: seed of all choices.

    Raises:
        ValueError: if videos of the set are missing, or for a size that is odd or smaller than a glyph.
    """
    if size < _GLYPH_SIZE or size % 2:
        raise ValueError(
            f"size is {size}; a glyph is {_GLYPH_SIZE} pixels wide and h264 needs an even size: give an "
            f"even number of at least {_GLYPH_SIZE}, such as 28"
        )
    videos = generated_set(
        root,
        name="cue",
        version=1,
        seed=seed,
        classes=tuple(CUE_SHAPES),
        videos_per_class={"train": train_per_class, "val": val_per_class, "test": test_per_class},
        render=render_cue,
        drawing={"rounds": rounds, "size": size},
    )
    return VideoSplits(videos["train"], videos["val"], videos["test"])


def render_cue(
    shape: str, rng: np.random.Generator, *, rounds: int, size: int
) -> UInt8[np.ndarray, "t h w 3"]:
    """The frames of one video whose target has ``shape``."""
    other = rng.choice([name for name in CUE_SHAPES if name != shape])
    target_colour, other_colour = rng.permutation(_COLOURS)
    things = (
        (CUE_SHAPES[shape], target_colour),
        (CUE_SHAPES[other], other_colour),
        (np.ones_like(CUE_SHAPES[shape]), target_colour),
    )
    times = (rng.permutation([0, 2, 4]) + rng.integers(2)) % CUE_PERIOD
    frames = np.full((rounds * CUE_PERIOD, size, size, 3), _GREY, np.uint8)
    last_place = (size - _GLYPH_SIZE) // _PLACE_STEP
    for start in range(0, len(frames), CUE_PERIOD):
        for (mask, colour), time in zip(things, times, strict=True):
            top, left = _PLACE_STEP * rng.integers(last_place, size=2, endpoint=True)
            frame = frames[start + time]
            frame[top : top + _GLYPH_SIZE, left : left + _GLYPH_SIZE][mask] = colour
    return frames
