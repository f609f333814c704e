"""Clips whose frames are shuffled, reversed or frozen, and how much a net needs their order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Int64, Num
from torch import Tensor

from gcvideo.data import VideoBatch
from gcvideo.evaluation._accuracy import wrong_where_not_finite
from gcvideo.evaluation._scores import VideoScores
from gcvideo.evaluation._views import average_views
from gcvideo.models import ClipClassifier, computing_in

ORDERED = "ordered"
PROBES = ("shuffled", "reversed", "frozen")


def probe_clips(
    views: Num[Tensor, "b v 3 t h w"], kind: str, *, seed: int, videos: Int64[Tensor, " b"]
) -> Num[Tensor, "b v 3 t h w"]:
    """Clips whose frames say less, or something else, about time.

        shuffled: x_pi(0) ... x_pi(t-1), pi drawn from the permutations other than the identity
        reversed: x_(t-1) ... x_0
        frozen:   x_(t // 2), t times

    The permutation of a view is a pure function of (seed, video, view). Where a clip repeats frames,
    as clips of short videos do, it may still look as it did in order.
    """
    num_frames = views.shape[3]
    if num_frames < 2:
        raise ValueError(
            f"the clips have {num_frames} frame, which has no order to probe; use a model whose clips "
            "have at least 2"
        )
    if kind == "shuffled":
        orders = [
            [_shuffled_order(num_frames, seed, video, view) for view in range(views.shape[1])]
            for video in videos.tolist()
        ]
        order = torch.from_numpy(np.array(orders)).to(views.device)
        return views.take_along_dim(order[:, :, None, :, None, None], dim=3)
    if kind == "reversed":
        return views.flip(3)
    middle = num_frames // 2  # frozen
    return views[:, :, :, middle : middle + 1].expand_as(views)


def _shuffled_order(num_frames: int, seed: int, video: int, view: int) -> Int64[np.ndarray, " t"]:
    rng = np.random.default_rng([seed, video, view])
    in_order = np.arange(num_frames)
    while True:
        order = rng.permutation(num_frames)
        if not np.array_equal(order, in_order):
            return order


@torch.inference_mode()
def score_under_probes(
    model: ClipClassifier,
    loader: Iterable[VideoBatch],
    *,
    average: str,
    kinds: Sequence[str] = PROBES,
    seed: int,
    dtype: torch.dtype = torch.float32,
) -> dict[str, VideoScores]:
    """Scores of videos as they are, under "ordered", and under each probe; each video is read once."""
    model.eval()
    scores = {kind: VideoScores() for kind in (ORDERED, *kinds)}
    for batch in loader:
        videos, labels = batch["video"], batch["labels"][:, 0]
        views = batch["views"].to(model.mean.device)
        for kind, table in scores.items():
            is_probe = kind != ORDERED
            clips = probe_clips(views, kind, seed=seed, videos=videos) if is_probe else views
            with computing_in(dtype, clips.device):
                logits = model(clips)
            table.add(videos, labels, average_views(logits, cast(Any, average)))
    return scores


@dataclass(frozen=True)
class TimeNeed:
    """How much a net needs the order of the frames to recognise ``num_videos`` videos.

    ``top1`` is the share of them that are right, in order ("ordered") and by probe.
    """

    num_videos: int
    top1: Mapping[str, float]

    @property
    def needs_time(self) -> float:
        """What the order is worth, from -1 to 1.

            top-1 in order - max(top-1 shuffled, top-1 frozen)

        One: all videos are right in order, and none without it. Zero: frames in any order, or a single
        frame, do as well. Reversed clips keep their motion and play no part.
        """
        return self.top1[ORDERED] - max(self.top1["shuffled"], self.top1["frozen"])


def time_need(scores: Mapping[str, VideoScores]) -> TimeNeed:
    """The need of all videos together."""
    return _need(_right(scores))


def class_time_needs(
    scores: Mapping[str, VideoScores], classes: Sequence[str]
) -> dict[str, TimeNeed]:
    """The need of each class that has videos, in label order."""
    right, labels = _right(scores), scores[ORDERED].labels()
    return {
        name: _need({kind: hits[labels == label] for kind, hits in right.items()})
        for label, name in enumerate(classes)
        if (labels == label).any()
    }


def _right(scores: Mapping[str, VideoScores]) -> dict[str, Bool[Tensor, " n"]]:
    if not len(scores[ORDERED]):
        raise ValueError("there are no scores; probe at least one video")
    right = {}
    for kind, table in scores.items():
        labels = table.labels()
        right[kind] = wrong_where_not_finite(table.scores(), labels).argmax(1) == labels
    return right


def _need(right: Mapping[str, Bool[Tensor, " n"]]) -> TimeNeed:
    top1 = {kind: float(hits.double().mean()) for kind, hits in right.items()}
    return TimeNeed(len(right[ORDERED]), top1)
