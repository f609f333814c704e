"""Files where readers differ in what a picture looks like."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from coded_video import SIZE, X264, Coding, Colour, encode, set_matrix
from reader_case import CLOSED_GOP, COUNT, Case, plain


def picture_cases() -> list[Case]:
    """Rows of the table."""
    bt709 = Colour(matrix="709", tag=1)
    odd_size = (191, 127)
    vp9 = Coding("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "0"})
    svt = "lp=1:enable-tf=0:film-grain=50:film-grain-denoise=1"
    av1 = Coding("libsvtav1", {"preset": "8", "crf": "30", "svtav1-params": svt}, grain=6.0)
    interlaced = {**X264, "flags": "+ildct+ilme", "x264-params": "tff=1"}
    return [
        Case(
            "rotated by 90 degrees",
            _rotated,
            "Telephones write the turn into the display matrix.",
        ),
        Case(
            "mirrored",
            _mirrored,
            "So do front cameras with the mirroring; read as an angle alone, it becomes half a turn.",
        ),
        Case(
            "pixel aspect 2:1",
            plain(Coding(pixel_aspect=Fraction(2))),
            "A player shows 384 x 128.",
            size=(2 * SIZE[0], SIZE[1]),
            ours="as all others by default; `data.square_pixels=true` gives what players show.",
        ),
        Case(
            "BT.709, tagged",
            plain(colour=bt709),
            "The matrix of high definition, at a size where untagged files have the other one.",
        ),
        Case(
            "BT.601, tagged",
            plain(colour=Colour(tag=6)),
            "The matrix of standard definition.",
        ),
        Case(
            "matrix tag 10",
            plain(colour=Colour(matrix="2020", tag=10)),
            "BT.2020 with constant luminance; some ways through FFmpeg's scaler refuse the tag, others take "
            "the matrix without.",
        ),
        Case(
            "full range",
            plain(colour=Colour("yuvj420p", is_full_range=True, tag=6)),
            "Levels 0 to 255 instead of 16 to 235.",
        ),
        Case("10 bits", plain(colour=replace(bt709, format="yuv420p10le")), "H.264 High 10."),
        Case(
            "interlaced, mp4",
            plain(Coding(options=interlaced)),
            "Both fields in one frame, as camcorders record; FFmpeg's scaler may refuse them.",
        ),
        Case(
            "odd size",
            plain(vp9, name="a.webm", size=odd_size),
            "The last column and row have half a sample of chroma.",
            size=odd_size,
        ),
        Case(
            "film grain, AV1",
            plain(av1),
            "The file says how the grain looks; the decoder adds it.",
            least_noise=3.0,
        ),
        Case(
            "HLS with two variants",
            _hls,
            "A list of lists; players end at the best variant, which is not the first.",
            ours="a playlist is refused by name, for it is no video but names some.",
        ),
    ]


def _rotated(folder: Path) -> Path:
    path = encode(folder / "a.mp4", COUNT, Coding(lay=np.rot90))
    return set_matrix(path, 0, 1, -1, 0)


def _mirrored(folder: Path) -> Path:
    path = encode(folder / "a.mp4", COUNT, Coding(lay=np.fliplr))
    return set_matrix(path, -1, 0, 0, 1)


def _hls(folder: Path) -> Path:
    coding = replace(CLOSED_GOP, container={"hls_list_size": "0", "hls_time": "0.8"})
    lines = ["#EXTM3U"]
    for name, bandwidth, size in (("low", 100_000, (144, 96)), ("high", 900_000, SIZE)):
        encode(folder / f"{name}.m3u8", COUNT, coding, size=size)
        resolution = f"{size[0]}x{size[1]}"
        lines.append(f"#EXT-X-STREAM-INF:BANDWIDTH={bandwidth},RESOLUTION={resolution}")
        lines.append(f"{name}.m3u8")
    path = folder / "master.m3u8"
    path.write_text("\n".join([*lines, ""]))
    return path
