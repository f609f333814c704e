"""What a comparison of block variants has measured, and what follows from it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from gcvideo.comparison._paired_difference import PairedDifference, SeedValues, holm_adjusted
from gcvideo.evaluation import Calibration, calibration, confusion_matrix
from gcvideo.evaluation._accuracy import (
    class_accuracies,
    count_right,
    has_top5,
    mean_class_accuracy,
)


@dataclass(frozen=True)
class CurvePoint:
    """The state of a training after an epoch; None where nothing was measured."""

    epoch: int
    train_loss: float | None
    val_top1: float | None


@dataclass(frozen=True, eq=False)
class CellResult:
    """One variant trained with one seed, and its test.

    ``scores`` has a row per video and a column per class; ``probes`` holds top-1 accuracies, in [0, 1],
    by what was done to the frames, such as "shuffled".
    """

    seed: int
    videos: tuple[str, ...]
    labels: Int64[Tensor, " n"]
    scores: Float[Tensor, "n k"]
    curve: tuple[CurvePoint, ...]
    probes: Mapping[str, float]

    def __post_init__(self) -> None:
        where = f"the cell of seed {self.seed}"
        lengths = len(self.videos), len(self.labels), len(self.scores)
        if not self.videos or len(set(lengths)) > 1:
            raise ValueError(
                f"{where} has {lengths[0]} videos, {lengths[1]} labels and {lengths[2]} rows of scores; "
                "give one of each per test video, and at least one video"
            )
        twice = next((video for video, n in Counter(self.videos).items() if n > 1), None)
        if twice is not None:
            raise ValueError(f"{where} lists '{twice}' more than once; score each video once")
        num_classes = self.scores.shape[1]
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= num_classes:
            wrong = low if low < 0 else high
            raise ValueError(
                f"{where} has the label {wrong} and scores of {num_classes} classes; labels count from 0"
            )
        if not self.scores.isfinite().all():
            row = int((~self.scores.isfinite()).any(dim=1).nonzero()[0])
            raise ValueError(
                f"{where} has scores of '{self.videos[row]}' that are not finite; such a training has "
                "failed and belongs to the missing cells"
            )

    @cached_property
    def ranks(self) -> Int64[Tensor, " n"]:
        """Per video, how many classes score above the label; of equal scores the first class wins."""
        best_first = self.scores.argsort(dim=1, descending=True, stable=True)
        return (best_first == self.labels[:, None]).long().argmax(dim=1)

    @property
    def right(self) -> Bool[Tensor, " n"]:
        return self.ranks == 0

    def top_k(self, k: int) -> float:
        """Share of the videos whose label is among the k best scores."""
        return int((self.ranks < k).sum()) / len(self.videos)

    def class_accuracies(self) -> Float[Tensor, " k"]:
        """Top-1 accuracy of the videos of each class; NaN for a class without videos."""
        return class_accuracies(count_right(self.labels, self.right, self.scores.shape[1]))

    @cached_property
    def calibration(self) -> Calibration:
        """Calibration of the scores of the test."""
        return calibration(self.labels, self.scores)


@dataclass(frozen=True)
class VariantResult:
    """One variant of the net, with the cells that are finished.

    ``settings`` distinguish it from the other variants, ``blocks`` are inserted ones such as
    "res3.1 ContextBlock", ``macs`` are those of one view. Times are medians per clip of an inference and
    of a training step, ``peak_bytes`` is that of such a step; None if not measured.
    """

    name: str
    settings: Mapping[str, str]
    blocks: tuple[str, ...]
    num_parameters: int
    macs: int
    ms_per_clip: float | None
    train_ms_per_clip: float | None
    peak_bytes: int | None
    cells: tuple[CellResult, ...]

    def top_k(self, k: int) -> SeedValues:
        """Top-k accuracy in [0, 1]."""
        return SeedValues({cell.seed: cell.top_k(k) for cell in self.cells})

    def mean_class_accuracy(self) -> SeedValues:
        """Mean of the accuracies of the classes that have videos, in [0, 1]."""
        return SeedValues(
            {cell.seed: float(mean_class_accuracy(cell.class_accuracies())) for cell in self.cells}
        )

    def calibration_error(self) -> SeedValues:
        """Expected calibration error of each cell, in [0, 1]."""
        return SeedValues({cell.seed: cell.calibration.error for cell in self.cells})

    @cached_property
    def pooled_calibration(self) -> Calibration:
        """Calibration of the answers of all seeds together; ValueError without a cell."""
        return calibration(*self._pooled())

    @cached_property
    def counts(self) -> Int64[Tensor, "k k"]:
        """Confusion matrix of the answers of all seeds together; ValueError without a cell."""
        return confusion_matrix(*self._pooled())

    def _pooled(self) -> tuple[Int64[Tensor, " n"], Float[Tensor, "n k"]]:
        if not self.cells:
            raise ValueError(f"variant '{self.name}' has no finished cell, so it has no answers")
        labels, scores = zip(*((cell.labels, cell.scores) for cell in self.cells), strict=True)
        return torch.cat(labels), torch.cat(scores)

    def probe(self, name: str) -> SeedValues:
        """Top-1 accuracy of a probe, of the seeds that have it."""
        return SeedValues(
            {cell.seed: cell.probes[name] for cell in self.cells if name in cell.probes}
        )


@dataclass(frozen=True)
class Comparison:
    """Variants of a net, trained alike with the same seeds and tested on the same videos.

    ``baseline`` is the name of the variant that the others are compared with. ``facts`` say how the
    comparison was made ("command", "machine", ...); ``missing`` names cells that failed or are not
    finished, with the reason; ``groups`` name the group of each video, see :class:`PairedDifference`.
    """

    title: str
    classes: tuple[str, ...]
    baseline: str
    variants: tuple[VariantResult, ...]
    facts: Mapping[str, str]
    missing: tuple[str, ...] = ()
    groups: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        firsts: dict[int, tuple[str, CellResult]] = {}
        for variant in self.variants:
            for cell in variant.cells:
                if cell.scores.shape[1] != len(self.classes):
                    raise ValueError(
                        f"variant '{variant.name}', seed {cell.seed}: scores of {cell.scores.shape[1]} "
                        f"classes, but {len(self.classes)} classes are named; name all of them, in order"
                    )
                first = firsts.setdefault(cell.seed, (variant.name, cell))
                _check_paired(variant.name, cell, *first)

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted({cell.seed for variant in self.variants for cell in variant.cells}))

    @property
    def has_top5(self) -> bool:
        return has_top5(len(self.classes))

    @property
    def probes(self) -> tuple[str, ...]:
        """Names of all probes, in the order of their first use."""
        cells = [cell for variant in self.variants for cell in variant.cells]
        return tuple(dict.fromkeys(probe for cell in cells for probe in cell.probes))

    def variant(self, name: str) -> VariantResult:
        return next(variant for variant in self.variants if variant.name == name)

    @cached_property
    def differences(self) -> dict[str, PairedDifference]:
        """Each variant against the baseline, by name; without those that share no seed with it."""
        found = {}
        for variant in self.variants:
            answers = {}
            for cell, first in self._pairs(variant):
                difference = (cell.right.long() - first.right.long()).tolist()
                answers[cell.seed] = dict(zip(cell.videos, difference, strict=True))
            if variant.name != self.baseline and answers:
                found[variant.name] = PairedDifference(answers, self.groups)
        return found

    @cached_property
    def adjusted_p_values(self) -> dict[str, float]:
        """The clustered p-values of all differences, adjusted for their number by Holm."""
        p_values = [difference.clustered for difference in self.differences.values()]
        return dict(zip(self.differences, holm_adjusted(p_values), strict=True))

    def class_gains(self, name: str) -> Float[Tensor, " k"]:
        """Accuracy per class less that of the baseline, mean over seeds; NaN without videos."""
        gains = [
            cell.class_accuracies() - baseline.class_accuracies()
            for cell, baseline in self._pairs(self.variant(name))
        ]
        return torch.stack(gains or [torch.full((len(self.classes),), torch.nan)]).nanmean(dim=0)

    def _pairs(self, variant: VariantResult) -> list[tuple[CellResult, CellResult]]:
        baseline = {cell.seed: cell for cell in self.variant(self.baseline).cells}
        return [(cell, baseline[cell.seed]) for cell in variant.cells if cell.seed in baseline]


def _check_paired(variant: str, cell: CellResult, other_variant: str, other: CellResult) -> None:
    where = f"variant '{variant}', seed {cell.seed}"
    remedy = "test all variants of a seed on the same list in the same order"
    if len(cell.videos) != len(other.videos):
        raise ValueError(
            f"{where}: {len(cell.videos)} videos, but {len(other.videos)} in variant "
            f"'{other_variant}'; {remedy}"
        )
    for number, (video, wanted) in enumerate(zip(cell.videos, other.videos, strict=True), 1):
        if video != wanted:
            raise ValueError(
                f"{where}: video {number} is '{video}', but '{wanted}' in variant '{other_variant}'; {remedy}"
            )
    if not torch.equal(cell.labels, other.labels):
        row = int((cell.labels != other.labels).nonzero()[0])
        raise ValueError(
            f"{where}: '{cell.videos[row]}' has label {int(cell.labels[row])}, but "
            f"{int(other.labels[row])} in variant '{other_variant}'; {remedy}"
        )
