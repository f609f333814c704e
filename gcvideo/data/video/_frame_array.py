"""The frames of a read, in the order in which they were requested."""

import numpy as np
from av.video import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from jaxtyping import Int64

from gcvideo.data.video._colour import convert_frame
from gcvideo.data.video._resizing import DecodeSize
from gcvideo.data.video._timeline import VideoInfo


class FrameArray:
    """The array of a read, filled as the decoder gives frames; ``missing`` has open positions by index."""

    def __init__(
        self,
        wanted: Int64[np.ndarray, "t"],
        info: VideoInfo,
        reformatter: VideoReformatter,
        short_side: int | DecodeSize | None,
        square_pixels: bool,
    ) -> None:
        self.missing: dict[int, list[int]] = {}
        for position in np.argsort(wanted, kind="stable").tolist():
            self.missing.setdefault(int(wanted[position]), []).append(position)
        self._orientation = info.orientation
        self._reformatter = reformatter
        size = info.stored_size
        if square_pixels:
            size = max(1, round(size[0] * info.sample_aspect_ratio)), size[1]
        self._size = width, height = _scaled(size, short_side)
        self._interpolation = None
        if self._size != info.stored_size:
            is_shrunk = self._size != size
            self._interpolation = Interpolation.AREA if is_shrunk else Interpolation.BICUBIC
        shape = (width, height) if info.orientation.swaps_sides else (height, width)
        self.pixels = np.empty((len(wanted), *shape, 3), np.uint8)

    def put(self, index: int, frame: VideoFrame) -> None:
        """Convert a frame into its positions, if it is still missing."""
        positions = self.missing.pop(index, None)
        if positions is None:
            return
        rgb = convert_frame(
            self._reformatter, frame, *self._size, format="rgb24", interpolation=self._interpolation
        )
        first, *repeats = positions
        self.pixels[first] = self._orientation.apply(rgb.to_ndarray())
        for position in repeats:
            self.pixels[position] = self.pixels[first]


def _scaled(size: tuple[int, int], short_side: int | DecodeSize | None) -> tuple[int, int]:
    if isinstance(short_side, DecodeSize):
        return short_side.scaled(*size)
    shorter = min(size)
    if short_side is None or shorter < 2 * short_side:
        return size
    width, height = (max(1, round(side * short_side / shorter)) for side in size)
    return width, height
