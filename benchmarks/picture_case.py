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
            "Telephones write the rotation into the display matrix.",
        ),
        Case(
            "mirrored",
            _mirrored,
            "Front cameras write the mirroring into the same matrix. A reader that takes only an "
            "angle from it turns the picture upside down.",
        ),
        Case(
            "pixel aspect 2:1",
            plain(Coding(pixel_aspect=Fraction(2))),
            "A player shows 384 x 128.",
            size=(2 * SIZE[0], SIZE[1]),
            ours="by default it returns stored pixels, as all others do; `data.square_pixels=true` "
            "returns what players show.",
        ),
        Case(
            "BT.709, tagged",
            plain(colour=bt709),
            "The matrix of high definition, at a size where untagged files have that of standard "
            "definition.",
        ),
        Case(
            "BT.601, tagged",
            plain(colour=Colour(tag=6)),
            "The matrix of standard definition.",
        ),
        Case(
            "matrix tag 10",
            plain(colour=Colour(matrix="2020", tag=10)),
            "BT.2020 with constant luminance. Some calls of FFmpeg's scaler refuse the tag; "
            "others use the matrix without constant luminance.",
        ),
        Case(
            "full range",
            plain(colour=Colour("yuvj420p", is_full_range=True, tag=6)),
            "Levels lie between 0 and 255 instead of 16 and 235.",
        ),
        Case(
            "10 bits",
            plain(colour=replace(bt709, format="yuv420p10le")),
            "The profile is H.264 High 10.",
        ),
        Case(
            "interlaced, mp4",
            plain(Coding(options=interlaced)),
            "Each frame holds both fields, as camcorders record them. FFmpeg's scaler may refuse "
            "such frames.",
        ),
        Case(
            "odd size",
            plain(vp9, name="a.webm", size=odd_size),
            "The last column and row have only half a chroma sample.",
            size=odd_size,
        ),
        Case(
            "film grain, AV1",
            plain(av1),
            "The file describes the grain, and the decoder adds it.",
            least_noise=3.0,
        ),
        Case(
            "HLS with two variants",
            _hls,
            "The file is a list of lists. Players settle on the best variant, which is not the "
            "first.",
            ours="it refuses a playlist, because a playlist names videos but is not one.",
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
