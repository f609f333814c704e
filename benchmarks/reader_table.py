"""Answers of readers held against the truth, as cells and as a page."""

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import av
from reader_case import Case

RATE_TOLERANCE = 0.03  # with or without the duration of the last frame
COLOUR_TOLERANCE = 8  # levels; coding alone stays below it

INTRODUCTION = """\
# What readers do

This page compares gcvideo with other readers of video in Python, on the same files. Each frame shows its
number as a bar code, and patches with known colours and places, so the pictures themselves tell what a reader
returns. A result is right if it is what a player shows: which frames, in which order, at which rate, which
side up, in which colours. The script makes the files with PyAV when it runs (`benchmarks/*_case.py`); it uses
no clips from elsewhere.

    pip install -e ".[bench]"
    python benchmarks/readers.py --decord2 decord2 --output docs/readers.md

decord2 contains a module with decord's name, so it needs a folder of its own: use pip's
`--no-deps --target decord2`.

A cell is "ok", or lists everything that differs:

| words in a cell | meaning |
|---|---|
| reports 40 | the number of frames that the library announces; announcing none (PyAV, imageio) is no fault |
| gives 40, 7 of 60 differ | the frames in sequence: how many there are, or how many are wrong |
| 30 is 40 | bar codes of the first, middle or last frame: the right one and the one found [1] |
| rate 1000 | the reported rate, if it is more than 3 % from (frames - 1) / (last time - first time) |
| 192 x 128, turned left, mirrored | width and height; orientation of the picture |
| colour 22 | the largest error of a patch, if it is 8 levels of 255 or more |
| raises, no frame, hangs, ends | the error, or no answer; "row" stands for reading the frames in sequence |

[1] The first frame is that of the sequence. The others are requested by index, each from a newly opened file.
"""

NOTES = """\
Some readers need an explanation:

- torchcodec runs on the FFmpeg of PyAV's wheel. The script links the libraries to the names that torchcodec
  expects.
- The wheel of video-reader-rs does not find its own libraries when it is imported. The script adds their
  folder to `LD_LIBRARY_PATH`.
- moviepy and pytorchvideo are asked by time. Frame i is what moviepy shows at time i / rate, and the i-th of
  all frames that pytorchvideo returns.
- imageio's ffmpeg plugin refuses files because of their suffix (.ts, .gif, .avif, .m3u8).
- OpenCV reports that it has read a picture even if the conversion failed, and returns a buffer that was never
  written.
"""


def cell(case: Case, answer: Mapping[str, Any]) -> str:
    """What is wrong with an answer of a reader, in few words; "ok" if nothing is."""
    if "ended" in answer:
        return answer["ended"]
    if "raised" in answer:
        return f"raises {_kind(answer)}"
    pictures = [answer[key] for key in ("given", "first", "middle", "last")]
    kinds = {_kind(given) for given in pictures if _has_raised(given)}
    if len(kinds) == 1 and all(map(_has_raised, pictures)):
        return f"raises {kinds.pop()}"
    faults = [
        *_count_faults(case, answer),
        *_picture_faults(case, answer),
        *_rate_fault(case, answer),
    ]
    return ", ".join(dict.fromkeys(faults)) or "ok"


def _count_faults(case: Case, answer: Mapping[str, Any]) -> list[str]:
    faults = []
    reported, given = answer["reported"], answer["given"]
    if _has_raised(reported):
        faults.append(f"count raises {_kind(reported)}")
    elif reported not in (None, len(case.numbers)):
        faults.append(f"reports {reported if abs(reported) < 1e6 else format(reported, '.1e')}")
    if _has_raised(given):
        faults.append(f"row raises {_kind(given)}")
    elif len(given) != len(case.numbers):
        faults.append(f"gives {len(given)}")
    elif given != list(case.numbers):
        num_wrong = sum(a != b for a, b in zip(given, case.numbers, strict=True))
        faults.append(f"{num_wrong} of {len(given)} differ")
    return faults


def _picture_faults(case: Case, answer: Mapping[str, Any]) -> list[str]:
    middle = len(case.numbers) // 2
    faults = []
    for key, index in (("first", 0), ("middle", middle), ("last", len(case.numbers) - 1)):
        seen = answer[key]
        number = case.numbers[index]
        if seen is None:
            faults.append(f"no frame {index}")
        elif _has_raised(seen):
            faults.append(f"frame {index} raises {_kind(seen)}")
        else:
            if seen["number"] != number:
                shown = "unreadable" if seen["number"] is None else seen["number"]
                faults.append(f"{number} is {shown}")
            faults += _look_faults(case, seen)
    return faults


def _kind(answer: Mapping[str, Any]) -> str:
    return answer["raised"].partition(":")[0]


def _has_raised(value: Any) -> bool:
    return isinstance(value, dict) and "raised" in value


def _look_faults(case: Case, seen: Mapping[str, Any]) -> list[str]:
    faults = []
    if seen["number"] is None:
        return faults  # a picture that is lost has no orientation and no colours
    if seen["orientation"] != "upright":
        faults.append(seen["orientation"])
    elif tuple(seen["size"]) != case.size:
        faults.append("{} x {}".format(*seen["size"]))
    if seen["colour_error"] > COLOUR_TOLERANCE:
        faults.append(f"colour {seen['colour_error']:.0f}")
    if seen["noise"] < case.least_noise:
        faults.append("no grain")
    return faults


def _rate_fault(case: Case, answer: Mapping[str, Any]) -> list[str]:
    rate = answer["rate"]
    if _has_raised(rate):
        return [f"rate raises {_kind(rate)}"]
    if rate is None or abs(rate / float(case.rate) - 1) <= RATE_TOLERANCE:
        return []
    return [f"rate {rate:.4g}"]


def page(
    cases: Sequence[Case],
    answers: Mapping[str, Sequence[Mapping[str, Any]]],
    versions: Mapping[str, str],
) -> str:
    """The page in Markdown: how it was made, the table, a sentence for each row.

    Args:
        cases: rows.
        answers: of each reader, one a row.
        versions: of each reader.
    """
    columns = list(answers)
    head = ["situation", *(f"{name} {versions[name]}" for name in columns)]
    rows = [
        [case.name, *(cell(case, answers[c][i]) for c in columns)] for i, case in enumerate(cases)
    ]
    right = [
        "right",
        *(f"{sum(row[i] == 'ok' for row in rows)} of {len(rows)}" for i in range(1, len(head))),
    ]
    lines = [head, ["---"] * len(head), *rows, right]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    ffmpeg = ".".join(map(str, av.library_versions["libavcodec"]))
    made = (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, Python "
        f"{platform.python_version()}, PyAV {av.__version__} (libavcodec {ffmpeg})."
    )
    whys = "\n".join(
        f"- **{case.name}**: {' '.join(filter(None, [case.why, case.ours and f'gcvideo: {case.ours}']))}"
        for case in cases
    )
    return f"{INTRODUCTION}\n{NOTES}\n{made}\n\n{table}\n\n## Why\n\n{whys}\n"
