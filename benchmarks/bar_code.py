"""Pictures that carry a number, their orientation and known colours, to be found again after coding."""

from dataclasses import dataclass

import numpy as np

NUM_BITS = 8
# From left to right; those at the ends of the two bands tell the orientation.
_TOP = ((200, 40, 40), (30, 30, 30), (225, 225, 225), (40, 200, 40))
_BOTTOM = ((40, 40, 200), (200, 40, 200), (40, 200, 200), (200, 200, 40))
_COLOURS = np.array([_TOP, _BOTTOM], float)
_DARK, _LIGHT = 20, 235
# (quarter turns counter-clockwise, then mirrored) that make a picture upright again.
_REMEDIES = {
    "upright": (0, False),
    "turned left": (3, False),
    "upside down": (2, False),
    "turned right": (1, False),
    "mirrored": (0, True),
    "mirrored, turned left": (3, True),
    "mirrored, upside down": (2, True),
    "mirrored, turned right": (1, True),
}


@dataclass(frozen=True)
class Seen:
    """What a picture shows.

    Args:
        number: of the bar code; None if it cannot be read.
        orientation: "upright", or what happened to the picture.
        colour_error: largest difference of a patch's mean from its true colour, in levels of 255.
        noise: standard deviation within the dark patch, in levels of 255.
        size: width and height in pixels.
    """

    number: int | None
    orientation: str
    colour_error: float
    noise: float
    size: tuple[int, int]


def draw(number: int, size: tuple[int, int]) -> np.ndarray:
    """RGB picture (h, w, 3): patches on top and bottom, between them the number and its complement.

    Args:
        number: 0 to 255, the highest bit on the left, light for 1.
        size: width and height in pixels.
    """
    width, height = size
    x, y = np.arange(width) / width, np.arange(height) * 4 // height
    bits = number >> (NUM_BITS - 1 - np.int64(x * NUM_BITS)) & 1
    light = np.where(np.stack([bits, 1 - bits])[..., None], _LIGHT, _DARK)
    bands = np.stack(
        [
            _COLOURS[0, np.int64(x * 4)],
            *np.broadcast_to(light, (2, width, 3)),
            _COLOURS[1, np.int64(x * 4)],
        ]
    )
    return bands[y].astype(np.uint8)


def look_at(picture: np.ndarray) -> Seen:
    """Orientation by the corners, then number and colours.

    Args:
        picture: RGB, (h, w, 3), levels 0 to 255.
    """
    picture = np.asarray(picture, float)
    size = picture.shape[1], picture.shape[0]
    errors = {}
    for name, (turns, is_mirrored) in _REMEDIES.items():
        upright = np.rot90(picture, turns)
        upright = upright[:, ::-1] if is_mirrored else upright
        patches = _means(upright, 4)
        errors[name] = np.abs(patches[[0, 3]] - _COLOURS).max(axis=-1), upright
    # A wrong matrix or range changes each patch by less than the patches differ from each other.
    orientation = min(errors, key=lambda name: errors[name][0].mean())
    error, upright = errors[orientation]
    bands = _means(upright, NUM_BITS)[1:3].mean(axis=-1)
    bits = bands > (_DARK + _LIGHT) / 2
    is_clear = np.abs(bands - (_DARK + _LIGHT) / 2).min() > (_LIGHT - _DARK) / 4
    is_read = is_clear and np.array_equal(bits[0], ~bits[1])
    number = int(np.packbits(bits[0])[0]) if is_read else None
    return Seen(number, orientation, float(error.max()), _noise(upright), size)


def _means(picture: np.ndarray, columns: int) -> np.ndarray:
    """Mean colours (4, columns, 3) of the middles of blocks."""
    return np.array(
        [
            [_block(picture, row, column, columns).mean(axis=(0, 1)) for column in range(columns)]
            for row in range(4)
        ]
    )


def _block(picture: np.ndarray, row: int, column: int, columns: int) -> np.ndarray:
    height, width = picture.shape[0] / 4, picture.shape[1] / columns
    rows = slice(int((row + 0.3) * height), int((row + 0.7) * height) + 1)
    return picture[rows, int((column + 0.3) * width) : int((column + 0.7) * width) + 1]


def _noise(upright: np.ndarray) -> float:
    return float(_block(upright, 0, 1, 4).mean(axis=-1).std())
