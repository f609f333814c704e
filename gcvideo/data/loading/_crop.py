"""Where the square windows of a view lie in a frame, as each peer places them."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple


class Window(NamedTuple):
    """Top-left corner of a square window in pixels, and whether it is shown mirrored."""

    y: int
    x: int
    is_mirrored: bool = False


class CropLayout(ABC):
    """The ``num_crops`` square windows of a frame; ValueError for a number of crops that it lacks."""

    known_numbers = (1, 3)

    def corners(self, height: int, width: int, size: int, num_crops: int) -> list[Window]:
        """Where windows of ``size`` pixels lie in a frame."""
        if num_crops not in self.known_numbers:
            *others, last = map(str, self.known_numbers)
            raise ValueError(
                f"num_crops is {num_crops}, which the protocol's crops do not have; choose "
                f"{', '.join(others)} or {last}"
                + ("" if 10 in self.known_numbers else "; protocol=mmaction has 10 too")
            )
        return self._corners(height, width, size, num_crops)

    @abstractmethod
    def _corners(self, height: int, width: int, size: int, num_crops: int) -> list[Window]: ...


@dataclass(frozen=True)
class SlowFastCrops(CropLayout):
    """Left, centre, right (top, centre, bottom if tall); the centre is at ceil((long - size) / 2).

    Source: PySlowFast and PyTorchVideo, ``uniform_crop``.
    """

    def _corners(self, height: int, width: int, size: int, num_crops: int) -> list[Window]:
        y, x = math.ceil((height - size) / 2), math.ceil((width - size) / 2)
        if num_crops == 1:
            return [Window(y, x)]
        if width >= height:
            return [Window(y, 0), Window(y, x), Window(y, width - size)]
        return [Window(0, x), Window(y, x), Window(height - size, x)]


@dataclass(frozen=True)
class MMActionCrops(CropLayout):
    """Left, right, middle, in steps of (long - size) // 2; one crop is the floor centre.

    Ten crops are the corners and the centre, upper left first, row by row, each also mirrored, in
    steps of (side - size) // 4 on both sides: the lower right corner is 4 steps from the upper left.
    Source: mmaction2, ``ThreeCrop``, ``CenterCrop`` and ``TenCrop``.
    """

    known_numbers = (1, 3, 10)

    def _corners(self, height: int, width: int, size: int, num_crops: int) -> list[Window]:
        if num_crops == 10:
            y, x = (height - size) // 4, (width - size) // 4
            places = [(0, 0), (0, 4 * x), (4 * y, 0), (4 * y, 4 * x), (2 * y, 2 * x)]
            return [Window(*place, mirrored) for place in places for mirrored in (False, True)]
        y, x = (height - size) // 2, (width - size) // 2
        if num_crops == 1:
            return [Window(y, x)]
        if width >= height:
            return [Window(y, 0), Window(y, 2 * x), Window(y, x)]
        return [Window(0, x), Window(2 * y, x), Window(y, x)]


@dataclass(frozen=True)
class NonLocalCrops(CropLayout):
    """Left, centre, right (top, centre, bottom if tall), in steps of (long - size) // 2.

    The last one stops a pixel short of the end where long - size is odd.
    Source: video-nonlocal-net, customized_video_io.cc, ``ClipTransformFlex``.
    """

    def _corners(self, height: int, width: int, size: int, num_crops: int) -> list[Window]:
        y, x = (height - size) // 2, (width - size) // 2
        if num_crops == 1:
            return [Window(y, x)]
        if y > 0:
            return [Window(y * crop, x) for crop in range(3)]
        return [Window(y, x * crop) for crop in range(3)]
