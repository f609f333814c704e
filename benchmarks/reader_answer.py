"""What one reader makes of files: python benchmarks/reader_answer.py NAME COUNTS FILE ...

A line of JSON for each file. Each reader runs in a process of its own, so that none meets the
libraries of another, and a crash is but an answer.
"""

import faulthandler
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np
from bar_code import look_at
from reader import READERS, Reader

# Libraries print on the standard output too.
ANSWER = "answer: "

_SECONDS_A_FILE = 60
_MOST_FRAMES = 4000  # many more than any file has


def examine(open_reader: Callable[[str], Reader], path: str, num_frames: int) -> dict[str, Any]:
    """What a reader reports and gives; where it raises, the error stands in the place of the answer.

    Args:
        open_reader: gives the file as the library reads it.
        path: of the file.
        num_frames: that a player shows; the one in the middle and the last are asked for alone, each of
            the file opened anew.
    """
    questions: dict[str, Callable[[], Any]] = {
        "reported": lambda: open_reader(path).num_frames(),
        "rate": lambda: open_reader(path).rate(),
        "first": lambda: _seen(next(open_reader(path).frames(), None)),
        "middle": lambda: _seen(open_reader(path).at(num_frames // 2)),
        "last": lambda: _seen(open_reader(path).at(num_frames - 1)),
        "given": lambda: _numbers(open_reader(path)),
    }
    answers: dict[str, Any] = {}
    try:
        open_reader(path)
    # Whatever comes is what a user meets: some libraries raise everything there is.
    except Exception as error:
        return {"raised": _message(error)}
    for name, ask in questions.items():
        try:
            answers[name] = ask()
        except Exception as error:
            answers[name] = {"raised": _message(error)}
    return answers


def _seen(picture: np.ndarray | None) -> dict[str, Any] | None:
    return None if picture is None else asdict(look_at(picture))


def _numbers(reader: Reader) -> list[int | None]:
    return [look_at(picture).number for picture in islice(reader.frames(), _MOST_FRAMES)]


def _message(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def main() -> None:
    """One line of JSON for each file, as soon as it is known."""
    name, counts, *paths = sys.argv[1:]
    open_reader = READERS[name][0]
    for path, num_frames in zip(paths, map(int, counts.split(",")), strict=True):
        faulthandler.dump_traceback_later(_SECONDS_A_FILE, exit=True)
        answer = examine(open_reader, path, num_frames)
        faulthandler.cancel_dump_traceback_later()
        # Libraries print on this stream too; the mark tells the answer.
        print(f"\n{ANSWER}{json.dumps(answer, default=float)}", flush=True)


if __name__ == "__main__":
    main()
