"""Conversion of decoded frames with any colour tags."""

import mmap
import warnings

import av
import av.error
from av.video import VideoFrame
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from gcvideo._invocation import command_line

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
    settings = {
        "format": format,
        "interpolation": interpolation,
        "dst_colorspace": dst_colorspace,
        "threads": 1,
    }
    try:
        return reformatter.reformat(frame, width, height, **settings)
    except av.error.OSError:
        # PyAV 17 passes reserved tags to the scaler, which rejects them.
        frame.color_trc = frame.color_primaries = _UNSPECIFIED
        return reformatter.reformat(frame, width, height, **settings)


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
