"""Bar codes to video files: encoding, copying of packets, and what no encoder offers, byte by byte."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av import Packet
from av.video import VideoFrame, VideoStream
from bar_code import draw

SIZE = (192, 128)
X264 = {"preset": "veryfast", "crf": "12", "bf": "2", "b_strategy": "0", "sc_threshold": "0"}
_KR_KB = {"601": (0.299, 0.114), "709": (0.2126, 0.0722), "2020": (0.2627, 0.0593)}


@dataclass(frozen=True)
class Colour:
    """How RGB becomes Y'CbCr, and what the file says about it.

    Args:
        format: FFmpeg's name of the pixel format, planar Y'CbCr of 8 or 10 bits.
        matrix: coefficients, a key of ``_KR_KB`` (ITU-T H.273, table 4).
        is_full_range: levels 0 to 255 instead of 16 to 235.
        tag: number of the matrix written into the file (H.273); 2: unspecified.
    """

    format: str = "yuv420p"
    matrix: str = "601"
    is_full_range: bool = False
    tag: int = 2

    def planes(self, rgb: np.ndarray) -> list[np.ndarray]:
        """Y', Cb and Cr of a picture, as H.273 (equations 8-39 to 8-41) has them."""
        kr, kb = _KR_KB[self.matrix]
        red, green, blue = np.moveaxis(rgb / 255, -1, 0)
        luma = kr * red + (1 - kr - kb) * green + kb * blue
        differences = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
        depth, kind = (10, np.uint16) if "10" in self.format else (8, np.uint8)
        scale = 1 << depth - 8
        head, luma_span, chroma_span = (0, 255, 255) if self.is_full_range else (16, 219, 224)
        step = 1 if "444" in self.format else 2
        signals = [
            head + luma_span * luma,
            *(128 + chroma_span * d[::step, ::step] for d in differences),
        ]
        top = (1 << depth) - 1
        return [np.rint(scale * signal).clip(0, top).astype(kind) for signal in signals]


@dataclass(frozen=True)
class Coding:
    """How a video is written.

    Args:
        codec: FFmpeg's name of the encoder.
        options: of the encoder.
        container: options of the container.
        rate: frames per second, unless ``times`` says otherwise.
        times: presentation times in ticks of ``time_base``, one a frame.
        time_base: seconds; None: 1 / rate.
        pixel_aspect: width of a pixel by its height.
        grain: standard deviation of noise that is added to the pictures, in levels.
        lay: how a picture lies in the file, if not as it is shown.
    """

    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: X264)
    container: dict[str, str] = field(default_factory=dict)
    rate: Fraction = Fraction(25)
    times: Sequence[int] | None = None
    time_base: Fraction | None = None
    pixel_aspect: Fraction = Fraction(1)
    grain: float = 0.0
    lay: Callable[[np.ndarray], np.ndarray] = lambda picture: picture


def encode(
    path: Path,
    numbers: Sequence[int],
    coding: Coding | None = None,
    colour: Colour | None = None,
    size: tuple[int, int] = SIZE,
) -> Path:
    """Write the bar codes of ``numbers``, one a frame; returns ``path``."""
    coding, colour = coding or Coding(), colour or Colour()
    noise = np.random.default_rng(0)
    time_base = coding.time_base or 1 / coding.rate
    times = coding.times or range(len(numbers))
    with av.open(str(path), "w", options=coding.container) as container:
        stream = container.add_stream(coding.codec, rate=coding.rate, options=coding.options)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = coding.lay(draw(0, size)).shape[:2]
        stream.pix_fmt = colour.format
        context = stream.codec_context
        context.time_base, context.sample_aspect_ratio = time_base, coding.pixel_aspect
        context.colorspace, context.color_range = colour.tag, 2 if colour.is_full_range else 1
        context.thread_count = 1
        for number, time in zip(numbers, times, strict=True):
            picture = coding.lay(draw(number, size))
            if coding.grain:
                grainy = picture + coding.grain * noise.standard_normal((*picture.shape[:2], 1))
                picture = grainy.clip(0, 255)
            frame = VideoFrame(stream.width, stream.height, colour.format)
            for plane, levels in zip(frame.planes, colour.planes(picture), strict=True):
                rows = np.zeros((plane.height, plane.line_size), np.uint8)
                levels = levels.view(np.uint8)
                rows[:, : levels.shape[1]] = levels
                plane.update(rows.tobytes())
            frame.colorspace, frame.color_range = colour.tag, context.color_range
            frame.pts, frame.time_base = time, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def copy_packets(
    source: Path,
    target: Path,
    choose: Callable[[Packet], bool] = lambda _: True,
    *,
    zero: Fraction = Fraction(0),
    container: dict[str, str] | None = None,
) -> Path:
    """Put the packets of a video into another file as they are, as "ffmpeg -c copy" does.

    Args:
        source: file to read.
        target: file to write.
        choose: whether to take a packet.
        zero: seconds of the source that become 0; what lies before gets negative times.
        container: options of the target.
    """
    with av.open(str(source)) as old, av.open(str(target), "w", options=container or {}) as new:
        stream = old.streams.video[0]
        copied = new.add_stream_from_template(stream)
        assert stream.time_base is not None
        shift = round(zero / stream.time_base)
        for packet in old.demux(stream):
            if packet.dts is None or packet.pts is None or not choose(packet):
                continue
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = copied
            new.mux(packet)
    return target


def set_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Let an mp4 be shown with its pixel (x, y) at (a x + c y, b x + d y) (ISO 14496-12, 8.3.2)."""
    data = path.read_bytes()
    # After the name: version and flags, times, track, duration, and layer to volume.
    start = data.index(b"tkhd") + 4 + 4 + 20 + 16
    one = 1 << 16
    matrix = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data[:start] + matrix + data[start + len(matrix) :])
    return path


def cut_by_edit_list(path: Path, num_frames: int, rate: Fraction) -> Path:
    """Let the edit list of an mp4 leave out its first frames (ISO 14496-12, 8.6.6)."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        seconds = num_frames / rate
        ticks = round(seconds / stream.time_base)
    data = bytearray(path.read_bytes())
    entry = data.index(b"elst") + 4 + 4 + 4  # after version and flags, and the number of entries
    duration, first = struct.unpack_from(">Ii", data, entry)
    # A duration counts ticks of the whole film, which FFmpeg writes as milliseconds.
    struct.pack_into(">Ii", data, entry, duration - round(1000 * seconds), first + ticks)
    path.write_bytes(data)
    return path


def forget_frame_duration(path: Path) -> Path:
    """Make the DefaultDuration of a webm an empty element of the same length, as recorders leave it."""
    data = path.read_bytes()
    start = data.index(b"\x23\xe3\x83")  # its ID, then a length of one byte
    length = data[start + 3] & 0x7F
    void = b"\xec" + bytes([0x80 | length + 2]) + bytes(length + 2)
    path.write_bytes(data[:start] + void + data[start + len(void) :])
    return path
