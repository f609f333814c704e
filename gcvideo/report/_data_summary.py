"""What the data of a run is: videos by split and class, and durations, rates and sizes of a sample."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gcvideo.comparison._table import DASH, Table
from gcvideo.data import Annotations, VideoInfo, VideoReadError, VideoSplits, probe, run_within

_MAX_PROBED, _MAX_SECONDS = 40, 3.0  # by split, so that lists of any length cost little


def data_table(splits: VideoSplits) -> Table:
    """A column per split; durations, rates and sizes are those of videos evenly spaced over its list."""
    lists = {"training": splits.train, "validation": splits.val}
    if splits.test.source != splits.val.source or len(splits.test) != len(splits.val):
        lists["test"] = splits.test
    columns = [_column(videos, splits.time_budget_seconds) for videos in lists.values()]
    rows = zip(_ROWS, *columns, strict=True)
    names = [
        f"{name}, test" if name == "validation" and len(lists) == 2 else name for name in lists
    ]
    return Table(("", *names), tuple(rows))


_ROWS = (
    *("videos", "classes with videos", "videos of a class, median (from - to)"),
    *(
        "listed, but not on disk",
        "sampled for the rows below",
        "of these unreadable",
        "seconds, median (from - to)",
    ),
    *("frames per second", "pixels", "size of a file"),
)


def _column(videos: Annotations, budget_seconds: float | None) -> list[str]:
    counts = np.bincount(videos.labels, minlength=len(videos.classes))
    found, sizes, num_unreadable = _sample(videos, budget_seconds)
    return [
        str(len(videos)),
        f"{np.count_nonzero(counts)} of {len(counts)}",
        _spread(counts.tolist()) if len(videos) else DASH,
        str(videos.num_missing),
        str(len(found) + num_unreadable),
        str(num_unreadable),
        _spread([info.duration_seconds for info in found]),
        _spread([info.fps for info in found]),
        ", ".join(_most_frequent([f"{info.width} x {info.height}" for info in found])) or DASH,
        _size(sizes),
    ]


def _sample(
    videos: Annotations, budget_seconds: float | None
) -> tuple[list[VideoInfo], list[int], int]:
    """Properties and bytes of the videos that can be read, and the number of others."""
    found, sizes, num_unreadable = [], [], 0
    started = time.monotonic()
    places = np.linspace(0, len(videos) - 1, min(len(videos), _MAX_PROBED)).round().astype(int)
    for place in places.tolist():
        if time.monotonic() - started > _MAX_SECONDS:
            break
        file = videos.path(place)
        try:
            found.append(run_within(budget_seconds, file, lambda file=file: probe(file)))
            sizes.append(Path(file).stat().st_size)
        except (VideoReadError, OSError):
            num_unreadable += 1
    return found, sizes, num_unreadable


def _spread(values: Sequence[float]) -> str:
    if not values:
        return DASH
    median, low, high = (f"{value:.4g}" for value in (np.median(values), min(values), max(values)))
    return median if low == high else f"{median} ({low} - {high})"


def _size(sizes: Sequence[int]) -> str:
    is_small = bool(sizes) and np.median(sizes) < 1e6
    scale, unit = (1e3, "kB") if is_small else (1e6, "MB")
    return f"{_spread([size / scale for size in sizes])} {unit}" if sizes else DASH


def _most_frequent(texts: Sequence[str], num: int = 3) -> list[str]:
    names = sorted(set(texts), key=lambda text: (-texts.count(text), text))
    return names[:num] + (["..."] if len(names) > num else [])
