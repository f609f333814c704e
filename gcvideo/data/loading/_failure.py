"""Videos that cannot be read, or not as they are: what is known and written about them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from gcvideo.data.listing._list_file import write_table


class VideoProblem(NamedTuple):
    """Why a video (by its place in the list) cannot be read as it is.

    ``damaged_packets`` were left out so that the rest could be read. ``replaced_by`` is the video that was
    shown instead; None if this one was shown, or not replaced.
    """

    video: int
    path: str
    reason: str
    damaged_packets: int
    replaced_by: int | None

    @property
    def status(self) -> str:
        """The status: "damaged" if the file is shown without its damaged parts, else "unreadable"."""
        return "damaged" if self.damaged_packets else "unreadable"


class BadVideosError(ValueError):
    """More videos of a list cannot be read than a run tolerates."""


def write_bad_videos(path: Path, problems: Iterable[VideoProblem]) -> None:
    """Write a table with path, status, reason and damaged_packets, in one step."""
    rows = ((p.path, p.status, p.reason, p.damaged_packets) for p in problems)
    write_table(path, ("path", "status", "reason", "damaged_packets"), rows)


def describe_problems(problems: Sequence[VideoProblem], limit: int = 20) -> str:
    """One line per video with its reason, at most ``limit``, then how many more there are."""
    lines = [f"  {problem.path}: {problem.reason}" for problem in problems[:limit]]
    if len(problems) > limit:
        lines.append(f"  and {len(problems) - limit} more")
    return "\n".join(lines)
