from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Bool
from torch import Tensor

from gcvideo.comparison._probe import ORDERED
from gcvideo.evaluation._scores import VideoScores

_WITHOUT_ORDER = ("shuffled", "frozen")


@dataclass(frozen=True)
class TimeNeed:
    """How far a net needs the order of the frames to recognise some videos.

    Args:
        num_videos: that the shares are of; those of few videos mean little.
        top1: share of the videos that are right, in order ("ordered") and by probe.
    """

    num_videos: int
    top1: Mapping[str, float]

    @property
    def needs_time(self) -> float:
        """What the order is worth, from -1 to 1.

            top-1 in order - max(top-1 shuffled, top-1 frozen)

        One: all videos are right in order, none without it. Zero: frames in any order, or a single
        frame, do as well. A reversed clip keeps its motion, and has no part in it.
        """
        return self.top1[ORDERED] - max(self.top1[kind] for kind in _WITHOUT_ORDER)


def time_need(scores: Mapping[str, VideoScores]) -> TimeNeed:
    """The need of all videos together.

    Args:
        scores: under "ordered", "shuffled", "frozen" and others, from
            :func:`~gcvideo.comparison._probe.score_under_probes`.

    Raises:
        ValueError: if one of the three is missing, or there are no videos.
    """
    return _need(_right(scores))


def class_time_needs(
    scores: Mapping[str, VideoScores], classes: Sequence[str]
) -> dict[str, TimeNeed]:
    """The need of each class that has videos, in label order; arguments and errors likewise.

    Args:
        scores: as for :func:`time_need`.
        classes: names in label order.
    """
    right, labels = _right(scores), scores[ORDERED].labels()
    return {
        name: _need({kind: hits[labels == label] for kind, hits in right.items()})
        for label, name in enumerate(classes)
        if (labels == label).any()
    }


def _right(scores: Mapping[str, VideoScores]) -> dict[str, Bool[Tensor, " n"]]:
    for kind in (ORDERED, *_WITHOUT_ORDER):
        if kind not in scores:
            raise ValueError(
                f"there are scores for {', '.join(scores)} but not for '{kind}'; score the videos "
                f"under {' and '.join(_WITHOUT_ORDER)}"
            )
    if not len(scores[ORDERED]):
        raise ValueError("there are no scores; probe at least one video")
    return {kind: table.scores().argmax(1) == table.labels() for kind, table in scores.items()}


def _need(right: Mapping[str, Bool[Tensor, " n"]]) -> TimeNeed:
    top1 = {kind: float(hits.double().mean()) for kind, hits in right.items()}
    return TimeNeed(len(right[ORDERED]), top1)
