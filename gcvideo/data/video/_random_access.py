"""Packets from which decoding gives, bit for bit, the same frames as decoding from the start.

Containers flag as keyframes all packets at which a player may start: recovery points after which pictures
become correct only gradually (H.264 with intra refresh), any intra picture, or, without a table, every
packet. This module therefore looks at the first bytes of the packets themselves.
"""

from collections.abc import Iterator
from typing import NamedTuple

_SHORTEST_AVCC, _SHORTEST_HVCC = 7, 23

_H264_SLICES = range(1, 6)
_H264_IDR, _H264_SEI = 5, 6
_H264_PARAMETER_SETS = frozenset({7, 8, 13, 15})
_HEVC_SLICES = range(32)
_HEVC_RANDOM_ACCESS = range(16, 22)  # BLA, IDR and CRA pictures
_HEVC_PARAMETER_SETS = frozenset({32, 33, 34})
_RECOVERY_POINT = 6

_AV1_FRAME_HEADERS = frozenset({3, 6})
_LOW_BITS = 0x7F


class StartPicture(NamedTuple):
    """What a packet offers to a decoder that starts there."""

    is_exact: (
        bool  # whether all frames displayed from here on equal those of a decode from the start
    )
    has_sets: bool = False  # whether it contains parameter sets (H.264, HEVC)
    has_new_sets: bool = False  # whether these differ from those in the container's header


def start_picture(codec: str, data: bytes, extradata: bytes) -> StartPicture:
    """Inspect the first picture of a packet; the stream's ``extradata`` describe the format of packets.

    The exact ones are IDR pictures and recovery points of zero frames with an exact match in H.264, all
    random access points in HEVC, and displayed key frames in VP9 and AV1.

    Source: ITU-T H.264, 7.4.1.2.4 and D.2.8; H.265, 7.4.2.2; VP9 bitstream, 6.2; AV1, 5.9.2.
    """
    if codec == "vp9":
        return StartPicture(_is_vp9_key_frame(data))
    if codec == "av1":
        return StartPicture(_is_av1_key_frame(data))
    is_hevc = codec == "hevc"
    sets = _HEVC_PARAMETER_SETS if is_hevc else _H264_PARAMETER_SETS
    is_exact = has_sets = has_new_sets = False
    for unit in nal_units(codec, data, extradata):
        kind = unit[0] >> 1 & 0x3F if is_hevc else unit[0] & 0x1F
        if kind in sets:
            has_sets = True
            has_new_sets |= unit.rstrip(b"\0") not in extradata
        elif is_hevc and kind in _HEVC_SLICES:
            return StartPicture(kind in _HEVC_RANDOM_ACCESS, has_sets, has_new_sets)
        elif not is_hevc and kind in _H264_SLICES:
            return StartPicture(is_exact or kind == _H264_IDR, has_sets, has_new_sets)
        elif not is_hevc and kind == _H264_SEI:
            is_exact |= _is_exact_recovery_point(unit)
    return StartPicture(False, has_sets, has_new_sets)


def nal_units(codec: str, data: bytes, extradata: bytes) -> Iterator[bytes]:
    """The units of an H.264 or HEVC packet, with lengths or start codes, without empty ones."""
    is_hevc = codec == "hevc"
    shortest, place = (_SHORTEST_HVCC, 21) if is_hevc else (_SHORTEST_AVCC, 4)
    if len(extradata) < shortest or extradata[0] != 1:
        units = data.split(b"\0\0\1")[1:]
        yield from filter(None, (unit.rstrip(b"\0") for unit in units))
        return
    length_size = (extradata[place] & 3) + 1
    start = length_size
    while start < len(data):
        size = int.from_bytes(data[start - length_size : start], "big")
        if size:
            yield data[start : start + size]
        start += size + length_size


def _is_exact_recovery_point(unit: bytes) -> bool:
    payload = unit[1:].replace(b"\0\0\3", b"\0\0")
    place = 0
    while place + 2 < len(payload):
        fields = []
        for _ in range(2):  # kind and size, in runs of 255
            rest = payload[place:].lstrip(b"\xff")
            num_full = len(payload) - place - len(rest)
            fields.append(0xFF * num_full + (rest[0] if rest else 0))
            place += num_full + 1
        kind, size = fields
        if kind == _RECOVERY_POINT:
            # recovery_frame_cnt = 0 is the bit 1 (Exp-Golomb); exact_match_flag follows.
            return payload[place : place + 1] >= b"\xc0"
        place += size
    return False


def _is_vp9_key_frame(data: bytes) -> bool:
    if not data:
        return False
    # show_existing_frame and frame_type are both 0; profile 3 has a reserved bit before them.
    profile = data[0] >> 4 & 0b11
    return not data[0] & (0b00000110 if profile == 0b11 else 0b00001100)


def _is_av1_key_frame(data: bytes) -> bool:
    place = 0
    while place < len(data):
        header = data[place]
        place += 2 if header & 0b100 else 1  # the second byte contains the layer
        size, shift = len(data) - place, 0
        if header & 0b10:
            size = 0
            while place < len(data):
                byte = data[place]
                size |= (byte & _LOW_BITS) << shift
                place, shift = place + 1, shift + 7
                if byte <= _LOW_BITS:
                    break
        if header >> 3 & 0xF in _AV1_FRAME_HEADERS:
            # show_existing_frame 0, frame_type 00, show_frame 1
            return place < len(data) and data[place] >> 4 == 1
        place += size
    return False
