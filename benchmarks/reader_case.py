"""Files on which readers differ, each with the truth that its bar codes tell."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from bar_code import draw
from coded_video import (
    SIZE,
    X264,
    Coding,
    Colour,
    copy_packets,
    cut_by_edit_list,
    encode,
    forget_frame_duration,
    set_matrix,
)
from field_picture import write_fields
from PIL import Image

_COUNT = range(60)
_RATE = Fraction(25)
_H264, _BT709 = Coding(), Colour(matrix="709", tag=1)
_CLOSED = replace(_H264, options={**X264, "g": "20"})
_HEVC = {"preset": "ultrafast", "crf": "12"}
_X265 = (
    "log-level=none:pools=1:frame-threads=1:scenecut=0:keyint=20:min-keyint=20:bframes=3:b-adapt=0"
)
_VP8 = Coding("libvpx", {"deadline": "realtime", "cpu-used": "8", "crf": "6", "b": "4M"})
_MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True)
class Case:
    """One file and what is right.

    Args:
        name: of the situation.
        make: writes the file into a folder and returns its path.
        why: one sentence on what makes readers differ.
        numbers: bar codes of the frames that a player shows, in order.
        rate: (frames - 1) / (time of the last frame - time of the first).
        size: width and height in pixels as shown.
        least_noise: levels that the dark patch must vary by, where grain belongs to the picture.
        ours: why gcvideo differs from a player on purpose, if it does.
    """

    name: str
    make: Callable[[Path], Path]
    why: str
    numbers: Sequence[int] = _COUNT
    rate: Fraction = _RATE
    size: tuple[int, int] = SIZE
    least_noise: float = 0.0
    ours: str = ""


def _mp4(
    coding: Coding = _H264, colour: Colour | None = None, name: str = "a.mp4", **more: tuple
) -> Callable[[Path], Path]:
    return lambda folder: encode(folder / name, _COUNT, coding, colour, **more)


def _hevc(**params: int) -> Coding:
    text = ":".join([_X265, *(f"{key.replace('_', '-')}={value}" for key, value in params.items())])
    return Coding("libx265", {**_HEVC, "x265-params": text})


def _timed(coding: Coding, times: Sequence[int], time_base: Fraction) -> Coding:
    return replace(coding, times=times, time_base=time_base)


def _rate(times: Sequence[int], time_base: Fraction) -> Fraction:
    return (len(times) - 1) / ((times[-1] - times[0]) * time_base)


# As a telephone slows down in the dark: 30, then 15 frames per second.
_SLOWING = [3000 * min(i, 30) + 6000 * max(i - 30, 0) for i in _COUNT]
_TICK = Fraction(1, 90000)
# As a browser stamps frames, in whole milliseconds as they come.
_JITTER = [round(50 * i + 12 * np.sin(7 * i)) for i in _COUNT]
_DELAYS = [100] * 20 + [300] * 20 + [50] * 20
_GIF_TIMES = [sum(_DELAYS[:i]) for i in _COUNT]


def _cut_mp4(folder: Path) -> Path:
    source = encode(folder / "whole.mp4", _COUNT, _CLOSED)
    start = 20 / _RATE
    return copy_packets(source, folder / "cut.mp4", lambda p: p.pts * p.time_base >= start, zero=1)


def _cut_mkv(folder: Path) -> Path:
    source = encode(
        folder / "whole.mp4", _COUNT, replace(_CLOSED, options={**X264, "g": "20", "bf": "0"})
    )
    start = 30 / _RATE
    return copy_packets(
        source, folder / "cut.mkv", lambda p: p.pts * p.time_base >= start, zero=1.2
    )


def _cut_open_gop(folder: Path) -> Path:
    source = encode(folder / "whole.mp4", _COUNT, _hevc(open_gop=1))
    is_on = False

    def choose(packet) -> bool:  # noqa: ANN001
        nonlocal is_on
        is_on |= packet.is_keyframe and packet.pts * packet.time_base > 0.5
        return is_on

    return copy_packets(source, folder / "cut.ts", choose)


def _recorded(folder: Path) -> Path:
    coding = replace(_timed(_VP8, _JITTER, _MILLISECOND), container={"live": "1"})
    return forget_frame_duration(encode(folder / "a.webm", _COUNT, coding))


def _wrapped(folder: Path) -> Path:
    coding = replace(_CLOSED, container={"output_ts_offset": "95442.5"})
    return encode(folder / "a.ts", _COUNT, coding)


def _gif(folder: Path) -> Path:
    images = [Image.fromarray(draw(number, SIZE)).quantize(16) for number in _COUNT]
    images[0].save(
        folder / "a.gif", save_all=True, append_images=images[1:], duration=_DELAYS, loop=0
    )
    return folder / "a.gif"


def _hls(folder: Path) -> Path:
    lines = ["#EXTM3U"]
    for name, bandwidth, size in (("low", 100000, (96, 64)), ("high", 900000, SIZE)):
        list_options = {"hls_list_size": "0", "hls_time": "0.8"}
        encode(folder / f"{name}.m3u8", _COUNT, replace(_CLOSED, container=list_options), size=size)
        resolution = f"{size[0]}x{size[1]}"
        lines += [
            f"#EXT-X-STREAM-INF:BANDWIDTH={bandwidth},RESOLUTION={resolution}",
            f"{name}.m3u8",
        ]
    (folder / "master.m3u8").write_text("\n".join([*lines, ""]))
    return folder / "master.m3u8"


def all_cases() -> list[Case]:
    """The rows of the table."""
    x264 = {**X264, "g": "20"}
    open_gop = replace(_H264, options={**x264, "bf": "3", "x264-params": "open-gop=1"})
    refresh = {"crf": "12", "g": "20", "bf": "0", "x264-params": "intra-refresh=1"}
    intra_refresh = Coding(options=refresh, grain=10.0)
    vp9 = Coding("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "0"})
    svt = "lp=1:enable-tf=0:film-grain=50:film-grain-denoise=1"
    av1 = {"preset": "8", "crf": "30", "svtav1-params": svt}
    ntsc = Fraction(30000, 1001)
    return [
        Case("H.264 mp4", _mp4(), "The plain case."),
        Case(
            "open GOP, H.264",
            _mp4(open_gop),
            "Frames before a keyframe refer to the group before it, so a seek to the keyframe cannot give them.",
        ),
        Case(
            "open GOP, HEVC",
            _mp4(_hevc(open_gop=1)),
            "The same; a decoder that starts at a CRA picture drops its leading (RASL) pictures.",
        ),
        Case(
            "temporal layers, HEVC",
            _mp4(_hevc(temporal_layers=3, b_pyramid=1)),
            "Layers are marked in the NAL headers; all of them belong to the video.",
        ),
        Case(
            "edit list cuts the start",
            lambda folder: cut_by_edit_list(encode(folder / "a.mp4", _COUNT, _CLOSED), 7, _CLOSED),
            "The list says that the film begins 7 frames later; the frames before are only for decoding.",
            _COUNT[7:],
        ),
        Case(
            "cut by stream copy, mp4",
            _cut_mp4,
            "Packets from the keyframe on, negative times before the cut, which the edit list hides.",
            _COUNT[25:],
        ),
        Case(
            "cut by stream copy, mkv",
            _cut_mkv,
            "Packets between keyframes come first and cannot be decoded; the first picture is that of the first keyframe.",
            _COUNT[40:],
        ),
        Case(
            "cut at an open GOP, HEVC",
            _cut_open_gop,
            "The leading pictures of the first keyframe refer to what was cut off.",
            _COUNT[20:],
        ),
        Case(
            "MPEG-TS with B-frames",
            _mp4(_CLOSED, name="a.ts"),
            "No index and no frame count; time does not begin at 0.",
        ),
        Case(
            "MPEG-TS, wrap of 33 bits",
            _wrapped,
            "Time stamps begin anew in the middle of the file.",
        ),
        Case(
            "variable rate, mp4",
            _mp4(_timed(_H264, _SLOWING, _TICK)),
            "30, then 15 frames per second.",
            rate=_rate(_SLOWING, _TICK),
        ),
        Case(
            "recorder's webm",
            _recorded,
            "No DefaultDuration: FFmpeg guesses the rate from the clock, 1000.",
            rate=_rate(_JITTER, _MILLISECOND),
        ),
        Case(
            "fields (PAFF), MPEG-TS",
            lambda folder: write_fields(folder / "a.ts", _COUNT, _RATE),
            "A packet holds a field, so there are twice as many packets as frames.",
        ),
        Case(
            "null frames, AVI",
            _mp4(
                _timed(
                    Coding("mpeg4", {"q:v": "2", "bf": "0"}),
                    [2 * i for i in _COUNT],
                    Fraction(1, 30),
                ),
                name="a.avi",
            ),
            "Every second packet is empty and means: show the last frame again; header and index count them.",
            rate=Fraction(15),
        ),
        Case(
            "raw H.264, 29.97",
            _mp4(replace(_H264, rate=ntsc), name="a.h264"),
            "No container: the rate stands in the parameter sets alone.",
            rate=ntsc,
        ),
        Case(
            "fragmented mp4",
            _mp4(
                replace(
                    _CLOSED, container={"movflags": "frag_keyframe+empty_moov+default_base_moof"}
                )
            ),
            "The header has no samples; each fragment brings its own.",
        ),
        Case(
            "rotated by 90 degrees",
            lambda folder: set_matrix(
                encode(folder / "a.mp4", _COUNT, replace(_H264, lay=np.rot90)), 0, 1, -1, 0
            ),
            "Telephones write the turn into the display matrix.",
        ),
        Case(
            "mirrored",
            lambda folder: set_matrix(
                encode(folder / "a.mp4", _COUNT, replace(_H264, lay=np.fliplr)), -1, 0, 0, 1
            ),
            "So do front cameras with mirroring.",
        ),
        Case(
            "pixel aspect 2:1",
            _mp4(replace(_H264, pixel_aspect=Fraction(2))),
            "A player shows 384 x 128.",
            size=(2 * SIZE[0], SIZE[1]),
        ),
        Case(
            "BT.709, tagged", _mp4(colour=_BT709), "The matrix of high definition at a small size."
        ),
        Case("BT.601, tagged", _mp4(colour=Colour(tag=6)), "The matrix of standard definition."),
        Case(
            "matrix tag 10",
            _mp4(colour=Colour(matrix="2020", tag=10)),
            "BT.2020 with constant luminance, which FFmpeg takes as without.",
        ),
        Case(
            "full range",
            _mp4(colour=Colour(format="yuvj420p", is_full_range=True, tag=6)),
            "Levels 0 to 255 instead of 16 to 235.",
        ),
        Case("10 bits", _mp4(colour=replace(_BT709, format="yuv420p10le")), "H.264 High 10."),
        Case(
            "odd size",
            _mp4(vp9, name="a.webm", size=(191, 127)),
            "The last column and row have half a chroma sample.",
            size=(191, 127),
        ),
        Case(
            "intra refresh, H.264",
            lambda folder: encode(folder / "a.mp4", range(100), intra_refresh, size=(96, 64)),
            "Keyframes are recovery points: the picture is whole only a group later.",
            range(100),
            size=(96, 64),
        ),
        Case(
            "film grain, AV1",
            _mp4(replace(Coding("libsvtav1", av1), grain=6.0)),
            "The decoder adds the grain.",
            least_noise=3.0,
        ),
        Case(
            "animated AVIF",
            _mp4(
                _timed(
                    Coding("libsvtav1", {"preset": "8", "crf": "15", "svtav1-params": "lp=1"}),
                    _GIF_TIMES,
                    _MILLISECOND,
                ),
                name="a.avif",
            ),
            "A film without the name of one, with a duration for each frame.",
            rate=_rate(_GIF_TIMES, _MILLISECOND),
        ),
        Case("animated GIF", _gif, "A delay for each frame.", rate=_rate(_GIF_TIMES, _MILLISECOND)),
        Case("HLS with two variants", _hls, "A list of lists; players end at the best variant."),
    ]
