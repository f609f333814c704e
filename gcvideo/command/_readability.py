"""Which videos of an evaluation cannot be read: all of them in one error instead of the first."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from gcvideo._invocation import command_line
from gcvideo.data import (
    BadVideosError,
    EvaluationVideos,
    ProcessDiedError,
    VideoProblem,
    VideoReadError,
    describe_problems,
    parallel_map,
    probe,
    run_within,
    write_bad_videos,
)
from gcvideo.data.video._deadline import death_as_read_error

# Below it, processes take longer to start than the work does.
_WORTH_PROCESSES = 1000


def unopenable_videos(videos: EvaluationVideos, num_workers: int) -> list[VideoProblem]:
    """Videos whose first frame cannot be decoded; those that the frame index knows are not opened."""
    workers = num_workers if len(videos) >= _WORTH_PROCESSES else 0
    return _find(_open, videos, workers, "Opening the validation videos")


def unreadable_videos(videos: EvaluationVideos, num_workers: int) -> list[VideoProblem]:
    """Videos whose views cannot be read."""
    return _find(
        EvaluationVideos.__getitem__,
        videos,
        num_workers,
        "A video cannot be read; looking for others",
    )


def bad_videos_error(
    problems: list[VideoProblem], num_videos: int, kind: str, folder: Path
) -> BadVideosError:
    """The error that names bad videos of a list ("validation" or "test"); all go to ``bad_videos.csv``."""
    path = folder / "bad_videos.csv"
    write_bad_videos(path, problems)
    return BadVideosError(
        f"{len(problems)} of {num_videos} {kind} videos cannot be read, so no score would describe "
        f"the whole list:\n{describe_problems(problems)}\nall are listed in '{path}'; replace them, or "
        f"make a list without them with `{command_line('check')}`"
    )


def _find(
    attempt: Callable[[EvaluationVideos, int], object],
    videos: EvaluationVideos,
    num_workers: int,
    description: str,
) -> list[VideoProblem]:
    found: list[VideoProblem] = []
    seconds = videos.time_budget_seconds
    if num_workers:
        # A process of its own is killed; what is stuck in this one can only be left behind.
        videos = replace(videos, time_budget_seconds=None)
    for video, result in parallel_map(
        partial(_problem, attempt, videos),
        range(len(videos)),
        description=description,
        num_workers=num_workers,
        seconds=seconds,
    ):
        if isinstance(result, ProcessDiedError):
            error = death_as_read_error(result, videos.annotations.path(video))
            found.append(VideoProblem(video, error.path, error.reason, 0, None))
        elif result is not None:
            found.append(result)
    return sorted(found)


def _problem(
    attempt: Callable[[EvaluationVideos, int], object], videos: EvaluationVideos, video: int
) -> VideoProblem | None:
    try:
        attempt(videos, video)
    except VideoReadError as error:
        return VideoProblem(video, error.path, error.reason, 0, None)
    return None


def _open(videos: EvaluationVideos, video: int) -> object:
    path = videos.annotations.path(video)
    if videos.index is not None and videos.index.find(videos.annotations.paths[video], path):
        return None
    return run_within(videos.time_budget_seconds, path, partial(probe, path))
