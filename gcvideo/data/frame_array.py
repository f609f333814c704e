import numpy as np
from av.video import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from jaxtyping import Int64

from gcvideo.data.timeline import VideoInfo


class FrameArray:
    """The array of a read, filled in as frames come out of the decoder."""

    def __init__(
        self,
        wanted: Int64[np.ndarray, "t"],
        info: VideoInfo,
        reformatter: VideoReformatter,
        short_side: int | None,
    ) -> None:
        self._positions: dict[int, list[int]] = {}
        for position in np.argsort(wanted, kind="stable").tolist():
            self._positions.setdefault(int(wanted[position]), []).append(position)
        self._rotation = info.rotation
        self._reformatter = reformatter
        self._size = width, height = _scaled(info.stored_size, short_side)
        self._interpolation = Interpolation.AREA if self._size != info.stored_size else None
        turned = info.rotation % 180 != 0
        shape = (width, height) if turned else (height, width)
        self.pixels = np.empty((len(wanted), *shape, 3), np.uint8)

    @property
    def missing(self) -> list[int]:
        """Indices of the frames that have not come, ascending."""
        return list(self._positions)

    @property
    def is_complete(self) -> bool:
        return not self._positions

    def has(self, index: int) -> bool:
        return index not in self._positions

    def put(self, index: int, frame: VideoFrame) -> None:
        """Convert a frame to where it is wanted; nothing if it is not, or came before."""
        positions = self._positions.pop(index, None)
        if positions is None:
            return
        rgb = self._reformatter.reformat(
            frame, *self._size, format="rgb24", interpolation=self._interpolation, threads=1
        )
        first, *repeats = positions
        self.pixels[first] = np.rot90(rgb.to_ndarray(), self._rotation // 90)
        for position in repeats:
            self.pixels[position] = self.pixels[first]


def _scaled(size: tuple[int, int], short_side: int | None) -> tuple[int, int]:
    shorter = min(size)
    if short_side is None or shorter < 2 * short_side:
        return size
    width, height = (max(1, round(side * short_side / shorter)) for side in size)
    return width, height
