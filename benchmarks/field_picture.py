"""H.264 in field pictures (PAFF), which x264 does not write: samples as they are (I_PCM), field by field."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video import VideoStream
from bar_code import draw
from coded_video import SIZE, Colour

_MACROBLOCK = 16
_CLOCK = 90000  # ticks per second of MPEG-TS


class _Bits:
    """What ITU-T H.264 is made of: numbers of n bits, Exp-Golomb codes and whole bytes."""

    def __init__(self) -> None:
        self.bits: list[str] = []

    def u(self, value: int, length: int = 1) -> None:
        self.bits.append(f"{value:0{length}b}")

    def golomb(self, *values: int) -> None:
        for value in values:
            code = f"{value + 1:b}"
            self.bits.append("0" * (len(code) - 1) + code)

    def put(self, samples: bytes) -> None:
        """Whole bytes from the next border of a byte on."""
        length = sum(map(len, self.bits))
        self.bits = ["".join(self.bits) + "0" * (-length % 8)]
        self.bits.append("".join(f"{sample:08b}" for sample in samples))

    def unit(self, header: int) -> bytes:
        """NAL unit behind a start code, with the trailing bits and emulation prevention."""
        text = "".join(self.bits) + "1"
        text += "0" * (-len(text) % 8)
        out, num_zeros = bytearray([0, 0, 0, 1, header]), 0
        for byte in int(text, 2).to_bytes(len(text) // 8, "big"):
            if num_zeros >= 2 and byte <= 3:
                out.append(3)
                num_zeros = 0
            out.append(byte)
            num_zeros = 0 if byte else num_zeros + 1
        return bytes(out)


def write_fields(path: Path, numbers: Sequence[int], rate: Fraction) -> Path:
    """Write bar codes as an MPEG-TS with one packet for each field; returns ``path``."""
    duration = round(_CLOCK / rate)
    with av.open(str(path), "w") as container:
        stream = container.add_mux_stream("h264", rate=rate, width=SIZE[0], height=SIZE[1])
        assert isinstance(stream, VideoStream)
        for index, number in enumerate(numbers):
            planes = Colour().planes(draw(number, SIZE))
            for is_bottom in (False, True):
                field = [plane[is_bottom::2] for plane in planes]
                data = _slice(field, is_bottom, idr_number=index % 2)
                packet = av.Packet(data if is_bottom else _parameter_sets() + data)
                packet.stream, packet.time_base = stream, Fraction(1, _CLOCK)
                packet.pts = packet.dts = index * duration + is_bottom * (duration // 2)
                packet.is_keyframe = not is_bottom
                container.mux(packet)
    return path


def _parameter_sets() -> bytes:
    sequence = _Bits()
    sequence.u(77, 8)  # Main profile
    sequence.u(0, 8)
    sequence.u(40, 8)  # level
    # Set 0, frame numbers of 4 bits, order by explicit counts of 8 bits, 1 reference frame.
    sequence.golomb(0, 0, 0, 4, 1)
    sequence.u(0)
    sequence.golomb(SIZE[0] // _MACROBLOCK - 1, SIZE[1] // (2 * _MACROBLOCK) - 1)
    sequence.u(0)  # not frames alone
    sequence.u(0)  # nor fields macroblock by macroblock
    sequence.u(1)
    sequence.u(0, 2)  # no cropping, no usability information
    picture = _Bits()
    picture.golomb(0, 0)
    picture.u(0, 2)  # CAVLC; one count for both fields
    picture.golomb(0, 0, 0)
    picture.u(0, 3)
    picture.golomb(0, 0, 0)
    picture.u(0, 3)
    return sequence.unit(0x67) + picture.unit(0x68)


def _slice(planes: Sequence[np.ndarray], is_bottom: bool, idr_number: int) -> bytes:
    """One field as one slice: the top field an IDR picture, the bottom field an I picture."""
    bits = _Bits()
    bits.golomb(0, 7, 0)  # from macroblock 0 on, all of them intra, set 0
    bits.u(0, 4)
    bits.u(1)  # a field
    bits.u(int(is_bottom))
    if not is_bottom:
        bits.golomb(idr_number)
    bits.u(int(is_bottom), 8)
    bits.u(0, 1 if is_bottom else 2)  # references are forgotten by the usual rule
    bits.golomb(0)
    height, width = planes[0].shape
    for y in range(0, height, _MACROBLOCK):
        for x in range(0, width, _MACROBLOCK):
            bits.golomb(25)  # I_PCM
            step = _MACROBLOCK // 2
            bits.put(planes[0][y : y + _MACROBLOCK, x : x + _MACROBLOCK].tobytes())
            for plane in planes[1:]:
                bits.put(plane[y // 2 : y // 2 + step, x // 2 : x // 2 + step].tobytes())
    return bits.unit(0x21 if is_bottom else 0x25)
