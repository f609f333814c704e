"""The result of a run, from which its report is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from gcvideo.data import EvaluationProtocol, VideoSplits
from gcvideo.evaluation import Calibration, calibration, confusion_matrix

# By name of a metric, its values by epoch.
History = Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class RunResult:
    """The scores of a test, or of the last validation of a training, and what they come from.

    Args:
        title: first line of the page.
        splits: videos of the run.
        split: "val" or "test", the split that was scored.
        protocol: protocol of the scores; the page shows the frames of its centre view.
        videos: places in the list of the split of the videos that were scored.
        labels: their classes.
        scores: their scores, a row each; rows that are not finite are told and left out.
        figures_of_merit: numbers of the run by name, as texts.
        facts: how the run was made, by name.
        recipe: its configuration, as text.
        left_out: sentences on videos that were not used.
        history: values of the metrics over epochs; None: not a training.
    """

    title: str
    splits: VideoSplits
    split: str
    protocol: EvaluationProtocol
    videos: Sequence[int]
    labels: Int64[Tensor, " n"]
    scores: Float[Tensor, "n k"]
    figures_of_merit: Mapping[str, str]
    facts: Mapping[str, str]
    recipe: str
    left_out: Sequence[str] = ()
    history: History | None = field(default=None)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.splits.classes

    @cached_property
    def is_finite(self) -> Bool[Tensor, " n"]:
        """Whether the scores of a video are numbers."""
        return torch.isfinite(self.scores).all(1)

    @cached_property
    def counts(self) -> Int64[Tensor, "k k"]:
        """The confusion matrix of the videos whose scores are numbers."""
        if not self.has_scores:
            num_classes = len(self.classes)
            return torch.zeros(num_classes, num_classes, dtype=torch.int64)
        return confusion_matrix(self.labels[self.is_finite], self.scores[self.is_finite])

    @cached_property
    def calibration(self) -> Calibration | None:
        """The calibration of these videos; None without any."""
        if not self.has_scores:
            return None
        return calibration(self.labels[self.is_finite], self.scores[self.is_finite])

    @property
    def has_scores(self) -> bool:
        return bool(self.is_finite.any())

    def path(self, place: int) -> str:
        """The path of a scored video as it was listed."""
        return getattr(self.splits, self.split).paths[self.videos[place]]

    def file(self, place: int) -> str:
        """The file of a scored video, ready to open."""
        return getattr(self.splits, self.split).path(self.videos[place])
