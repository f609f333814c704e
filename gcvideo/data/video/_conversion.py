"""Conversion of decoded frames, with any colour tags, to the arrays of a read."""

import mmap
import warnings

import av
import av.error
import numpy as np
from av.video import VideoFrame
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from jaxtyping import Int64

from gcvideo._invocation import command_line
from gcvideo.data.video._resizing import DecodeSize
from gcvideo.data.video._timeline import VideoInfo

# Matrices of ITU-T H.273 that FFmpeg's scaler has; it treats 2 (unspecified) as BT.601.
_KNOWN = frozenset({1, 2, 4, 5, 6, 7, 9})
_NO_MATRIX = 0
_BT601, _BT2020 = 6, 9
_BT2020_CONSTANT_LUMINANCE = 10
_NAMES = {
    _NO_MATRIX: "RGB",
    3: "reserved",
    8: "YCgCo",
    _BT2020_CONSTANT_LUMINANCE: "BT.2020 with constant luminance",
    11: "SMPTE ST 2085",
    12: "derived from the primaries",
    13: "derived from the primaries, with constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
_UNSPECIFIED = 2
_NUM_COLOURS = 3

# A byte for each tag with a warning, shared with forked processes such as workers of a loader.
_WARNED = mmap.mmap(-1, 256)


def convert_frame(
    reformatter: VideoReformatter,
    frame: VideoFrame,
    width: int,
    height: int,
    *,
    format: str,
    interpolation: Interpolation | None = None,
    dst_colorspace: Colorspace | None = None,
) -> VideoFrame:
    """A frame in another pixel format and size, on one thread; FFmpegError if that is impossible.

    Use one reformatter for all frames of a video, since each makes a context. A matrix that FFmpeg's
    scaler lacks is replaced as by :func:`settle_matrix`, with one warning per tag in a process and those
    forked from it.
    """
    tag = frame.colorspace
    remark = "" if tag in _KNOWN else settle_matrix(frame)
    if remark and not _WARNED[tag % 256]:
        _WARNED[tag % 256] = 1
        warnings.warn(
            f"{remark}, as in FFmpeg's scaler, so colours are not exact; `{command_line('check')}` "
            "names the videos",
            stacklevel=2,
        )
    size = width, height
    settings = {"interpolation": interpolation, "dst_colorspace": dst_colorspace, "threads": 1}
    try:
        return reformatter.reformat(frame, *size, format, **settings)
    except av.error.OSError:
        # PyAV 17 passes reserved tags to the scaler, which rejects them.
        frame.color_trc = frame.color_primaries = _UNSPECIFIED
        return reformatter.reformat(frame, *size, format, **settings)


def settle_matrix(frame: VideoFrame) -> str:
    """Replace a matrix tag that FFmpeg's scaler lacks by the one it uses instead, and describe that.

    The rule is that of libswscale, ``sws_getCoefficients``: BT.2020 with constant luminance (10) becomes
    BT.2020 without; every other unknown tag, and "RGB" (0) for frames that are not RGB, becomes BT.601.
    """
    tag = frame.colorspace
    has_no_matrix = frame.format.is_rgb or len(frame.format.components) < _NUM_COLOURS
    if tag in _KNOWN or (tag == _NO_MATRIX and has_no_matrix):
        return ""
    is_bt2020 = tag == _BT2020_CONSTANT_LUMINANCE
    frame.colorspace = _BT2020 if is_bt2020 else _BT601
    shown = f"{tag} ({_NAMES[tag]})" if tag in _NAMES else str(tag)
    return f"colour matrix {shown} is taken for {'BT.2020' if is_bt2020 else 'BT.601'}"


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
