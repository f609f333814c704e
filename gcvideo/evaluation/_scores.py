"""Scores of a test by video."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.distributed import all_gather_object, get_world_size, is_initialized

from gcvideo.data.listing._list_file import write_table
from gcvideo.data.listing._table_file import column_name

_COLUMNS = ("video", "label", "prediction")
_PREFIX = "score:"


def score_columns(classes: Sequence[str]) -> list[str]:
    """The names of classes as columns, with the prefix "score:" if another column has the name.

    This concerns the classes "video", "label" and "prediction" in any capitalisation, and classes that
    begin with "score:" themselves. Removing one prefix therefore always gives the name of the class.
    """
    return [
        f"{_PREFIX}{name}" if column_name(name) in _COLUMNS or name.startswith(_PREFIX) else name
        for name in classes
    ]


class VideoScores:
    """Scores of a test by video, gathered over ranks and written as a table."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[int, Tensor]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self, videos: Int64[Tensor, " b"], labels: Int64[Tensor, " b"], scores: Float[Tensor, "b k"]
    ) -> None:
        """Keep the scores of a batch; a video scored twice counts once."""
        for video, label, row in zip(videos.tolist(), labels.tolist(), scores.cpu(), strict=True):
            self._rows[video] = (label, row)

    def gather(self) -> None:
        """Collect the videos of all ranks, by index."""
        if is_initialized() and get_world_size() > 1:
            shares: list[dict[int, tuple[int, Tensor]]] = [{} for _ in range(get_world_size())]
            all_gather_object(shares, self._rows)
            self._rows = {key: row for share in shares for key, row in share.items()}

    def videos(self) -> list[int]:
        """The scored videos, by their places in the list, in its order."""
        return sorted(self._rows)

    def labels(self) -> Int64[Tensor, " n"]:
        labels = [self._rows[video][0] for video in sorted(self._rows)]
        return torch.tensor(labels, dtype=torch.int64)

    def scores(self) -> Float[Tensor, "n k"]:
        """One row per video, in order of the list; without videos, there are no columns."""
        if not self._rows:
            return torch.empty(0, 0)
        return torch.stack([self._rows[video][1] for video in sorted(self._rows)])

    def state(self) -> dict[str, Tensor]:
        """The videos, labels and scores as tensors, for a checkpoint; :meth:`of_state` reads them."""
        videos = torch.tensor(self.videos(), dtype=torch.int64)
        return {"videos": videos, "labels": self.labels(), "scores": self.scores()}

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> "VideoScores":
        """The scores whose state it is."""
        found = cls()
        found.add(state["videos"], state["labels"], state["scores"])
        return found

    def write(self, path: Path, videos: Sequence[str], classes: Sequence[str]) -> None:
        """Write a csv with video, label, prediction and one column per class (:func:`score_columns`)."""

        def row(video: int) -> list[str]:
            label, scores = self._rows[video]
            values = [f"{score:.6f}" for score in scores.tolist()]
            return [videos[video], classes[label], classes[int(scores.argmax())], *values]

        columns = (*_COLUMNS, *score_columns(classes))
        write_table(path, columns, map(row, sorted(self._rows)))
