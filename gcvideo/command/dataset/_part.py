"""Parts of the work on a data set: what one of them writes, and what a process without a part joins."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from gcvideo._console import Console
from gcvideo.command._shard import Shard, present_parts

V = TypeVar("V")

_CONSOLE = Console()


def part_file(whole: Path, shard: Shard) -> Path:
    """The file of a part of ``whole``; ValueError if there are parts out of another number of parts."""
    counts = sorted({part.count for part in present_parts(whole)} - {shard.count})
    if counts:
        raise ValueError(
            f"shard is {shard}, but '{whole}' has parts out of {' and out of '.join(map(str, counts))}; go on "
            "with those, or join them by the same command without shard first"
        )
    return shard.path(whole)


def of_part(videos: Mapping[str, V], shard: Shard) -> dict[str, V]:
    """The videos that a part works on."""
    paths = list(videos)
    return {paths[place]: videos[paths[place]] for place in shard.of(len(paths)).tolist()}


def say_part(shard: Shard, num_videos: int, failures: Iterable[str]) -> None:
    """Print what a finished part has done, and how parts become one."""
    _CONSOLE.print(
        f"part {shard}: its {num_videos} videos are done, {len(list(failures))} of them failed; when all parts "
        "are done, the same command without shard, in one process, joins them",
        soft_wrap=True,
    )


def say_joined(num_parts: int, num_taken: int, num_due: int) -> None:
    """Print how much of the work is that of parts, if there are any."""
    if num_parts:
        _CONSOLE.print(
            f"{num_taken} videos are taken over from {num_parts} parts, {num_due} are to be done anew",
            soft_wrap=True,
        )


def delete_parts(parts: Iterable[Path]) -> None:
    """Delete files of parts that have been joined."""
    for path in parts:
        path.unlink(missing_ok=True)
