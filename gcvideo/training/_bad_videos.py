"""Training videos that could not be read."""

from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from gcvideo._console import Console
from gcvideo._invocation import command_line
from gcvideo.data import (
    BadVideosError,
    VideoBatch,
    VideoProblem,
    describe_problems,
    write_bad_videos,
)
from gcvideo.training._rank_exchange import gathered

_GATHER_EVERY = 50
_MAX_LINES = 10


class BadVideos(Callback):
    """Lists the training videos that could not be read, and stops when there are too many.

    Distinct videos of all devices are written to ``bad_videos.csv`` as soon as they are known: after
    every batch on one device, every 50 batches and at the end of an epoch on several. The limit is
    ``max_bad_fraction`` of the data; damaged videos that were shown do not count towards it.

    Raises:
        BadVideosError: if unreadable videos / training videos is above the limit.
    """

    def __init__(self, folder: str) -> None:
        self.path = Path(folder) / "bad_videos.csv"
        self._known: dict[str, VideoProblem] = {}
        self._fresh: list[VideoProblem] = []
        self._num_reported = 0
        self._console = Console()

    @property
    def num_unreadable(self) -> int:
        """Videos that were replaced by others."""
        return sum(problem.replaced_by is not None for problem in self._known.values())

    @property
    def num_damaged(self) -> int:
        """Videos that were shown without their damaged packets."""
        return len(self._known) - self.num_unreadable

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._known and trainer.is_global_zero:  # of the run that this one resumes
            write_bad_videos(self.path, self._known.values())

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: VideoBatch,
        batch_idx: int,
    ) -> None:
        self._fresh += batch["problems"]
        if trainer.world_size == 1 or (batch_idx + 1) % _GATHER_EVERY == 0:
            self._settle(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._settle(trainer)
        if trainer.is_global_zero and len(self._known) > max(self._num_reported, _MAX_LINES):
            self._num_reported = len(self._known)
            self._console.print(
                f"{self.num_unreadable} unreadable and {self.num_damaged} damaged videos so far; see "
                f"'{self.path}'",
                soft_wrap=True,
            )

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        # Other devices may have stopped already: what is known here is all that can be saved.
        self._take(self._fresh, is_told=trainer.is_global_zero)

    def _settle(self, trainer: Trainer) -> None:
        fresh = [problem for share in gathered(self._fresh) for problem in share]
        self._fresh = []
        self._take(fresh, is_told=trainer.is_global_zero)
        if fresh:
            # On all devices alike, or some would wait for others that have stopped.
            self._check(trainer)

    def _take(self, problems: list[VideoProblem], *, is_told: bool) -> None:
        """Remember problems, and write and print those that are new."""
        num_before, new = len(self._known), []
        for problem in problems:
            before = self._known.get(problem.path)
            if before is None or (before.replaced_by is None and problem.replaced_by is not None):
                self._known[problem.path] = problem
                new.append(problem)
        if not (new and is_told):
            return
        write_bad_videos(self.path, self._known.values())
        for problem in new[: max(0, _MAX_LINES - num_before)]:
            self._console.print(_line(problem), soft_wrap=True)

    def _check(self, trainer: Trainer) -> None:
        splits = trainer.datamodule.splits  # pyright: ignore[reportAttributeAccessIssue]
        fraction = self.num_unreadable / len(splits.train)
        if fraction > splits.max_bad_fraction:
            unreadable = [p for p in self._known.values() if p.replaced_by is not None]
            raise BadVideosError(
                f"{self.num_unreadable} of {len(splits.train)} training videos cannot be read so far: "
                f"{fraction:.2%}, above max_bad_fraction = {splits.max_bad_fraction:.2%}\n"
                f"{describe_problems(unreadable)}\n"
                f"all are listed in '{self.path}'; make a list without them with "
                f"`{command_line('check')}`, or raise data.max_bad_fraction"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"problems": [tuple(problem) for problem in self._known.values()]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        problems = [VideoProblem(*values) for values in state_dict["problems"]]
        self._known = {problem.path: problem for problem in problems}


def _line(problem: VideoProblem) -> str:
    if problem.replaced_by is not None:
        return f"unreadable video '{problem.path}': {problem.reason}; another is shown in its place"
    return (
        f"damaged video '{problem.path}': {problem.reason}; shown without "
        f"{problem.damaged_packets} damaged packets"
    )
