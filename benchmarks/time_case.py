"""Files where readers differ in the rate, and in when a frame is shown."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import sin
from pathlib import Path

from bar_code import draw
from coded_video import SIZE, Coding, encode, forget_frame_duration
from field_picture import write_fields
from PIL import Image
from reader_case import COUNT, RATE, Case, plain

_MILLISECOND = Fraction(1, 1000)
# As a telephone slows down in the dark: 30, then 15 frames per second.
_SLOWING = [3000 * min(i, 30) + 6000 * max(i - 30, 0) for i in COUNT]
_SLOWING_TICK = Fraction(1, 90000)
# As a browser stamps frames, in whole milliseconds as they come.
_JITTER = [round(50 * i + 12 * sin(7 * i)) for i in COUNT]
_DELAYS = [100] * 20 + [300] * 20 + [50] * 20
_DELAYED = [sum(_DELAYS[:i]) for i in COUNT]


def time_cases() -> list[Case]:
    """Rows of the table."""
    ntsc = Fraction(30000, 1001)
    av1 = Coding("libsvtav1", {"preset": "8", "crf": "15", "svtav1-params": "lp=1:enable-tf=0"})
    mpeg4 = Coding("mpeg4", {"q:v": "2", "bf": "0"})
    every_second = replace(mpeg4, times=[2 * i for i in COUNT], time_base=Fraction(1, 30))
    return [
        Case(
            "variable rate, mp4",
            plain(Coding(times=_SLOWING, time_base=_SLOWING_TICK)),
            "The file has 30, then 15 frames per second.",
            rate=_rate(_SLOWING, _SLOWING_TICK),
        ),
        Case(
            "recorder's webm",
            _recorded,
            "Browsers write neither a DefaultDuration nor a total duration; 1000 is the rate of "
            "the clock.",
            rate=_rate(_JITTER, _MILLISECOND),
        ),
        Case(
            "fields (PAFF), MPEG-TS",
            lambda folder: write_fields(folder / "a.ts", COUNT, RATE),
            "Each packet holds one field, so there are twice as many packets as frames. The "
            "pictures are marked as interlaced.",
        ),
        Case(
            "null frames, AVI",
            plain(every_second, name="a.avi"),
            "Every second packet is empty, which tells the player to show the last frame again. "
            "Header and index count these packets.",
            rate=Fraction(15),
        ),
        Case(
            "raw H.264, 29.97",
            plain(Coding(rate=ntsc), name="a.h264"),
            "Without a container, only the parameter sets state the rate. FFmpeg assumes 25.",
            rate=ntsc,
        ),
        Case(
            "animated AVIF",
            plain(replace(av1, times=_DELAYED, time_base=_MILLISECOND), name="a.avif"),
            "The first stream is a still picture. The second is the film, with a duration for "
            "each frame.",
            rate=_rate(_DELAYED, _MILLISECOND),
        ),
        Case(
            "animated GIF",
            _gif,
            "Each frame has its own delay.",
            rate=_rate(_DELAYED, _MILLISECOND),
        ),
    ]


def _rate(times: Sequence[int], time_base: Fraction) -> Fraction:
    return (len(times) - 1) / ((times[-1] - times[0]) * time_base)


def _recorded(folder: Path) -> Path:
    coding = Coding(
        "libvpx",
        {"deadline": "realtime", "cpu-used": "8", "crf": "6", "b": "4M"},
        {"live": "1"},
        times=_JITTER,
        time_base=_MILLISECOND,
    )
    return forget_frame_duration(encode(folder / "a.webm", COUNT, coding))


def _gif(folder: Path) -> Path:
    path = folder / "a.gif"
    first, *others = (Image.fromarray(draw(number, SIZE)).quantize(16) for number in COUNT)
    first.save(path, save_all=True, append_images=others, duration=_DELAYS, loop=0)
    return path
