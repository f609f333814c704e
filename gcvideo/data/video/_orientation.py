"""The rotation and mirroring of the frames of a video for display."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import numpy as np
from av.filter import Graph
from av.video import VideoFrame
from jaxtyping import UInt8

# FFmpeg's number for this type of side data, and an upper bound for all types.
_DISPLAY_MATRIX, _NUM_TYPES = 6, 64


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to turn and mirror a stored frame for display."""

    quarter_turns: int = 0  # counterclockwise, 0 to 3, after the mirror
    is_mirrored: bool = False  # left and right exchanged

    @classmethod
    def of_frame(cls, frame: VideoFrame) -> "Orientation":
        """The orientation of a decoded frame, from the container, the codec or Exif."""
        try:
            side_data = frame.side_data
        except ValueError:  # PyAV rejects all side data if one type is unknown to it, such as Exif
            side_data = _with_display_matrix_alone(frame).side_data
        matrix = side_data.get("DISPLAYMATRIX")
        return cls() if matrix is None else cls.of_matrix(struct.unpack("=9i", bytes(matrix)))

    @classmethod
    def of_matrix(cls, matrix: Sequence[int]) -> "Orientation":
        r"""The orientation nearest to a display matrix, which moves pixel (x, y) to (a x + c y, b x + d y).

            a, b, c, d = m_0, m_1, m_3, m_4,    s = sign(a d - b c)
            clockwise angle = atan2(s b - c, s a + d),    mirrored where s < 0

        with y downwards. For the eight matrices of quarter turns and mirrors, this equals FFmpeg's
        ``-autorotate``; other angles are rounded to quarter turns, where FFmpeg pads the corners. A matrix
        without an inverse turns nothing. Source: ISO/IEC 14496-12, 8.3.2.
        """
        a, b, c, d = (float(matrix[i]) for i in (0, 1, 3, 4))
        determinant = a * d - b * c
        if not determinant:
            return cls()
        sign = math.copysign(1, determinant)
        clockwise = math.atan2(sign * b - c, sign * a + d)
        return cls(-round(clockwise / (math.pi / 2)) % 4, sign < 0)

    @property
    def swaps_sides(self) -> bool:
        """Whether width and height are exchanged."""
        return self.quarter_turns % 2 == 1

    def apply(self, picture: UInt8[np.ndarray, "h w ..."]) -> UInt8[np.ndarray, "h2 w2 ..."]:
        """A stored picture, or a plane of its samples, as a view in display orientation."""
        mirrored = picture[:, ::-1] if self.is_mirrored else picture
        return np.rot90(mirrored, self.quarter_turns)

    def __str__(self) -> str:
        turned = f"turned by {90 * self.quarter_turns} degrees" if self.quarter_turns else ""
        mirrored = "mirrored" if self.is_mirrored else ""
        return " and ".join(filter(None, (mirrored, turned))) or "as stored"


AS_STORED = Orientation()


def _with_display_matrix_alone(frame: VideoFrame) -> VideoFrame:
    graph = Graph()
    # Its threads do not survive a fork: a loader's worker that collected it would wait for them for ever.
    graph.threads = 1
    last = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1)
    )
    for other in set(range(_NUM_TYPES)) - {_DISPLAY_MATRIX}:
        deletion = graph.add("sidedata", f"mode=delete:type={other}")
        last.link_to(deletion)
        last = deletion
    last.link_to(graph.add("buffersink"))
    graph.configure()
    graph.push(frame)
    return cast(VideoFrame, graph.pull())
