"""The result of a run that was never made: labels, scores, and small videos of them."""

import numpy as np
import torch

from gcvideo.data import (
    Annotations,
    EvaluationProtocol,
    SlowFastSampling,
    VideoSplits,
    write_video,
)
from gcvideo.report import RunResult

NAMES = (
    'dark & "dim"',
    "<b>light</b>",
    "$x_1$ dusk",
    "\u6301\u3061\u4e0a\u3052\u308b",
    "never seen",
)


def make_result(folder, *, classes=NAMES, num_videos=40, certainty=2.0, num_files=1, **changes):
    """Videos of all classes but the last, which share a few files; the second last is never answered."""
    random = torch.Generator().manual_seed(0)
    num_seen = max(len(classes) - 1, 1)
    labels = torch.arange(num_videos) % num_seen
    scores = torch.randn(num_videos, len(classes), generator=random)
    scores[torch.arange(num_videos), labels] += certainty
    scores[:, num_seen - 1 : num_seen] -= 20 * (len(classes) > 2)
    paths = []
    for number in range(num_files):
        frames = np.full((8, 48, 64, 3), 40 * number + 40, dtype=np.uint8)
        path = folder / f"video & <i> {number}.mp4"
        write_video(path, frames, fps=8)
        paths.append(path.name)
    listed = Annotations(
        [paths[i % num_files] for i in range(num_videos)],
        labels.numpy(),
        tuple(classes),
        "made",
        str(folder),
    )
    facts = {
        "title": "Test of <net>",
        "splits": VideoSplits(listed.subset(range(num_videos // 2)), listed, listed),
        "split": "test",
        "protocol": EvaluationProtocol(
            name="small",
            sampling=SlowFastSampling(),
            num_frames=8,
            sampling_rate=1,
            short_side=32,
            crop_size=32,
            val_crop_size=32,
            train_crop_size=32,
            num_clips=1,
            num_crops=1,
        ),
        "videos": range(num_videos),
        "labels": labels,
        "scores": scores.softmax(1),
        "figures_of_merit": {"top-1": "0.5000"},
        "facts": {"command": 'gcvideo test "<x>"'},
        "recipe": "seed: 0\nname: <net>\n",
    }
    return RunResult(**(facts | changes))


HISTORY = {
    key: [(float(epoch), value / epoch) for epoch in range(1, 6)]
    for key, value in (("train/loss_epoch", 2.0), ("val/loss", 2.5), ("val/top1", 0.9))
}
