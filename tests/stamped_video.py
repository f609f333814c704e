"""Videos whose frames are shown at given times, in any container, and what tools do to such files."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_stamped(
    path: Path,
    times: Sequence[Fraction],
    codec: str = "libx264",
    *,
    rate: Fraction | int = 30,
    time_base: Fraction | None = None,
    size: tuple[int, int] = (64, 48),
    pix_fmt: str = "yuv420p",
    container: dict[str, str] | None = None,
    **options: str,
) -> Path:
    """A stripe that moves on by two pixels a frame.

    Args:
        path: of the file; its suffix chooses the container.
        times: in seconds at which the frames are shown.
        codec: FFmpeg's name of the encoder.
        rate: frames per second that the headers state.
        time_base: seconds in which the frames are stamped; None: ``1 / rate``.
        size: width and height in pixels.
        pix_fmt: of the encoder.
        container: options of the muxer.
        options: of the encoder.
    """
    width, height = size
    with av.open(str(path), "w", options=container or {}) as out:
        stream = out.add_stream(codec, rate=Fraction(rate), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.thread_count = 1
        unit = time_base or 1 / Fraction(rate)
        stream.codec_context.time_base = unit
        for i, time in enumerate(times):
            picture = np.full((height, width, 3), 60, np.uint8)
            picture[:, 2 * i % (width - 8) :][:, :8] = 200
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = round(time / unit), unit
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def without_default_duration(path: Path) -> Path:
    """As browsers record Matroska: the element that tells the rate becomes a void one."""
    content = path.read_bytes()
    start = content.index(b"\x23\xe3\x83")
    length = 4 + (content[start + 3] & 0x0F)
    void = bytes([0xEC, 0x80 | (length - 2)]) + bytes(length - 2)
    path.write_bytes(content[:start] + void + content[start + length :])
    return path


def with_repeated_fields(path: Path) -> Path:
    """As film is put on DVD: every second picture of an MPEG-2 stream is shown for a field longer."""
    content = bytearray(path.read_bytes())
    start, picture = content.find(b"\0\0\1\xb5"), 0
    while start >= 0:
        if content[start + 4] >> 4 == 8:  # a picture coding extension
            content[start + 7] |= (picture % 2) << 1  # repeat_first_field
            content[start + 8] |= 0x80  # progressive_frame
            picture += 1
        start = content.find(b"\0\0\1\xb5", start + 4)
    path.write_bytes(content)
    return path
