"""H.264 in field pictures, which no encoder at hand writes: flat grey macroblocks, sent as they are."""

from collections.abc import Iterator
from itertools import islice

_WIDTH_MACROBLOCKS = 2


class _Bits:
    """Bits of a NAL unit: fixed lengths and Exp-Golomb codes (H.264, clause 9.1)."""

    def __init__(self) -> None:
        self._bits = ""

    def u(self, *fields: tuple[int, int]) -> "_Bits":
        """Values of so many bits."""
        self._bits += "".join(f"{value:0{length}b}" for length, value in fields)
        return self

    def golomb(self, *values: int) -> "_Bits":
        for value in values:
            code = f"{value + 1:b}"
            self._bits += "0" * (len(code) - 1) + code
        return self

    def align(self) -> "_Bits":
        self._bits += "0" * (-len(self._bits) % 8)
        return self

    def unit(self, header: int) -> bytes:
        """With start code, trailing bits and emulation prevention."""
        self._bits += "1"
        self.align()
        payload = int(self._bits, 2).to_bytes(len(self._bits) // 8, "big")
        escaped, zeros = bytearray([header]), 0
        for byte in payload:
            if zeros >= 2 and byte <= 3:
                escaped.append(3)
                zeros = 0
            escaped.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return b"\0\0\0\1" + bytes(escaped)


def _parameter_sets(rate: int) -> bytes:
    sequence = _Bits().u((8, 77), (8, 0), (8, 30)).golomb(0, 0, 2, 1).u((1, 0))
    # One row of macroblock pairs; fields are allowed.
    sequence.golomb(_WIDTH_MACROBLOCKS - 1, 0).u((1, 0), (1, 0), (1, 1), (1, 0), (1, 1))
    # Of the VUI only the timing: a tick a field.
    sequence.u((4, 0), (1, 1), (32, 1), (32, 2 * rate), (1, 1), (4, 0))
    picture = _Bits().golomb(0, 0).u((2, 0)).golomb(0, 0, 0).u((3, 0)).golomb(0, 0, 0).u((3, 0))
    return sequence.unit(0x67) + picture.unit(0x68)


def _picture(number: int, field: int | None) -> bytes:
    """A frame (``field`` is None), or its top (0) or bottom (1) field."""
    is_second = field == 1
    bits = _Bits().golomb(0, 7, 0).u((4, 0))
    bits.u((1, 0)) if field is None else bits.u((1, 1), (1, field))
    if is_second:
        bits.u((1, 0))
    else:
        bits.golomb(number % 2).u((2, 0))
    bits.golomb(0)
    num_macroblocks = _WIDTH_MACROBLOCKS * (2 if field is None else 1)
    for _ in range(num_macroblocks):
        bits.golomb(25).align().u(*[(8, 40 + 5 * number % 180)] * 384)
    return bits.unit(0x61 if is_second else 0x65)


def field_packets(num_frames: int, rate: int, *, num_whole: int = 0) -> Iterator[bytes]:
    """One packet a field, after ``num_whole`` frames that are not split into fields."""
    head = _parameter_sets(rate)
    for number in range(num_frames):
        fields = (None,) if number < num_whole else (0, 1)
        for field in fields:
            yield (b"" if field == 1 else head) + _picture(number, field)


def field_stream(num_frames: int, rate: int) -> bytes:
    """An elementary stream of fields."""
    return b"".join(islice(field_packets(num_frames, rate), 2 * num_frames))
