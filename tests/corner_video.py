"""Videos whose corners tell how they are laid out, and what geometry makes of a display matrix."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

COLOURS = {"R": (220, 30, 30), "G": (30, 220, 30), "B": (30, 30, 220), "K": (30, 30, 30)}
PLACES = {"R": (-1, -1), "G": (1, -1), "B": (-1, 1), "K": (1, 1)}  # (x, y), y downwards
# a, b, c, d, with pixel (x, y) shown at (a x + c y, b x + d y).
MATRICES = {
    "identity": (1, 0, 0, 1),
    "clockwise": (0, 1, -1, 0),
    "half turn": (-1, 0, 0, -1),
    "counterclockwise": (0, -1, 1, 0),
    "left to right": (-1, 0, 0, 1),
    "upside down": (1, 0, 0, -1),
    "transpose": (0, 1, 1, 0),
    "antitranspose": (0, -1, -1, 0),
}


def corner_picture(height: int = 48, width: int = 64) -> np.ndarray:
    picture = np.empty((height, width, 3), np.uint8)
    for name, (x, y) in PLACES.items():
        rows = slice(0, height // 2) if y < 0 else slice(height // 2, None)
        columns = slice(0, width // 2) if x < 0 else slice(width // 2, None)
        picture[rows, columns] = COLOURS[name]
    return picture


def shown_corners(matrix: tuple[int, int, int, int]) -> str:
    """Colours of the corners, row by row, where the matrix puts them."""
    a, b, c, d = matrix
    placed = {(a * x + c * y, b * x + d * y): name for name, (x, y) in PLACES.items()}
    return "".join(placed[x, y] for y in (-1, 1) for x in (-1, 1))


def corners(picture: np.ndarray) -> str:
    """Colours of the corners, row by row, as they are."""
    height, width = picture.shape[:2]

    def nearest(y: int, x: int) -> str:
        pixel = picture[y, x].astype(int)
        return min(COLOURS, key=lambda name: np.abs(pixel - COLOURS[name]).sum())

    return "".join(
        nearest(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)
    )


def write_corners(
    path: Path,
    matrix: tuple[float, float, float, float] = (1, 0, 0, 1),
    *,
    size: tuple[int, int] = (64, 48),
    pix_fmt: str = "yuv420p",
    sample_aspect_ratio: Fraction | None = None,
    num_frames: int = 5,
) -> Path:
    """An mp4 of width x height pixels, with a display matrix of four numbers in its track header."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"qp": "1"})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        if sample_aspect_ratio is not None:
            stream.codec_context.sample_aspect_ratio = sample_aspect_ratio
        for _ in range(num_frames):
            frame = av.VideoFrame.from_ndarray(corner_picture(size[1], size[0]), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    content = path.read_bytes()
    # Behind the version: two times, an identity, 4 bytes, the duration, then 16 bytes.
    start = content.index(b"tkhd") + 44
    a, b, c, d = (round(65536 * number) for number in matrix)
    fields = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content[:start] + fields + content[start + 36 :])
    return path
