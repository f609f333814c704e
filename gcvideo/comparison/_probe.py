from collections.abc import Iterable, Sequence
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from jaxtyping import Int64, Num
from torch import Tensor

from gcvideo.data import VideoBatch
from gcvideo.evaluation._scores import VideoScores
from gcvideo.evaluation._views import average_views
from gcvideo.models import ClipClassifier, computing_in

ORDERED = "ordered"
ProbeKind = Literal["shuffled", "reversed", "frozen"]


def probe_clips(
    views: Num[Tensor, "b v 3 t h w"], kind: str, *, seed: int, videos: Int64[Tensor, " b"]
) -> Num[Tensor, "b v 3 t h w"]:
    """Clips whose frames tell less, or something else, about time.

        shuffled: x_pi(0) ... x_pi(t-1), pi drawn from the permutations other than the identity
        reversed: x_(t-1) ... x_0
        frozen:   x_(t // 2), t times

    The permutation of a view is a pure function of (seed, video, view). Where a clip repeats frames,
    as clips of short videos do, it may still show them in order.

    Args:
        views: of the videos.
        kind: of the probe.
        seed: of the permutations.
        videos: index of each video in its list.

    Raises:
        ValueError: for an unknown kind, or clips of a single frame.
    """
    num_frames = views.shape[3]
    if num_frames < 2:
        raise ValueError(
            f"the clips have {num_frames} frame, which has no order to probe; take a model of clips "
            "with at least 2"
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
    if kind == "frozen":
        middle = num_frames // 2
        return views[:, :, :, middle : middle + 1].expand_as(views)
    raise ValueError(f"kind is {kind!r}; choose one of {', '.join(get_args(ProbeKind))}")


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
    kinds: Sequence[str] = get_args(ProbeKind),
    seed: int,
    dtype: torch.dtype = torch.float32,
) -> dict[str, VideoScores]:
    """Scores of videos as they are, under "ordered", and under each probe; each is read once.

    Args:
        model: on any device; it is left in evaluation mode.
        loader: batches of videos with their views, such as ``VideoDataModule.test_dataloader()``.
        average: of the views, as for :func:`~gcvideo.evaluation.average_views`.
        kinds: of the probes.
        seed: of the permutations.
        dtype: in which the net computes.

    Raises:
        ValueError: for an unknown kind, or clips of a single frame.
    """
    model.eval()
    scores = {kind: VideoScores() for kind in (ORDERED, *kinds)}
    for batch in loader:
        videos, labels = batch["video"], batch["labels"][:, 0]
        views = batch["views"].to(model.mean.device)
        for kind, table in scores.items():
            clips = views
            if kind != ORDERED:
                clips = probe_clips(views, kind, seed=seed, videos=videos)
            with computing_in(dtype, clips.device):
                logits = model(clips)
            table.add(videos, labels, average_views(logits, cast(Any, average)))
    return scores
