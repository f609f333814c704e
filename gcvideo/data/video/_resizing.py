"""The size that a frame is resized to, with the rounding of each peer."""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Resizing(Protocol):
    """The length of the longer side if the shorter one becomes ``short_side`` pixels."""

    def long_side(self, longer: int, shorter: int, short_side: int) -> int: ...


@dataclass(frozen=True)
class TorchvisionResizing:
    """Rounded down: floor(short_side longer / shorter).

    Source: torchvision, ``Resize``.
    """

    def long_side(self, longer: int, shorter: int, short_side: int) -> int:
        return short_side * longer // shorter


@dataclass(frozen=True)
class SlowFastResizing:
    """Rounded down: floor((longer / shorter) short_side), in double precision.

    Source: PySlowFast, ``random_short_side_scale_jitter``; PyTorchVideo, ``short_side_scale``.
    """

    def long_side(self, longer: int, shorter: int, short_side: int) -> int:
        return math.floor(longer / shorter * short_side)


@dataclass(frozen=True)
class SlowFastReaderResizing:
    """Rounded to nearest, halves up: floor(short_side longer / shorter + 1/2).

    Source: torchvision's csrc/io, ``setFormatDimensions``, with which PySlowFast resizes while it reads.
    """

    def long_side(self, longer: int, shorter: int, short_side: int) -> int:
        return (2 * short_side * longer + shorter) // (2 * shorter)


@dataclass(frozen=True)
class MMActionResizing:
    """Rounded to nearest: floor(longer (short_side / shorter) + 1/2), in double precision.

    Source: mmcv, ``rescale_size``.
    """

    def long_side(self, longer: int, shorter: int, short_side: int) -> int:
        return int(longer * (short_side / shorter) + 0.5)


@dataclass(frozen=True)
class NonLocalResizing:
    """Rounded down: floor(longer (short_side / shorter)), in single precision.

    There, the shorter side is rounded in the same way and may lose a pixel; here it is ``short_side``.
    Source: video-nonlocal-net, customized_video_io.cc, ``ScaleTransform``.
    """

    def long_side(self, longer: int, shorter: int, short_side: int) -> int:
        ratio = np.float32(short_side) / np.float32(shorter)
        return int(np.float32(longer) * ratio)


@dataclass(frozen=True)
class DecodeSize:
    """The size to which much larger sources are scaled down while they are decoded.

    The shorter side becomes ``1.25 * short_side``, since copies of Kinetics are commonly kept at 320 pixels
    for a short side of 256. The longer side becomes the length near the exact one from which ``resizing``
    gives the same result as from the source. Sources smaller than twice this size stay as they are. Frames
    are finally resized to ``short_side``.
    """

    short_side: int
    resizing: Resizing

    @property
    def pixels(self) -> int:
        return round(1.25 * self.short_side)

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """Width and height to which a source is scaled down, or its own."""
        longer, shorter = max(width, height), min(width, height)
        if shorter < 2 * self.pixels:
            return width, height
        wanted = self.resizing.long_side(longer, shorter, self.short_side)

        def error(long_side: int) -> int:
            return abs(self.resizing.long_side(long_side, self.pixels, self.short_side) - wanted)

        exact = round(longer * self.pixels / shorter)
        scaled = min((exact, exact + 1, exact - 1), key=error)
        return (scaled, self.pixels) if width > height else (self.pixels, scaled)


def resized(resizing: Resizing, height: int, width: int, short_side: int) -> tuple[int, int]:
    """Height and width of a frame whose shorter side becomes ``short_side`` pixels."""
    longer = resizing.long_side(max(height, width), min(height, width), short_side)
    return (longer, short_side) if height > width else (short_side, longer)
