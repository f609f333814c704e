"""Tables of metrics that survive an interruption."""

import csv
import os
from argparse import Namespace
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from gcvideo._draft import draft_of


class MetricLog(Logger):
    """A CSV table of metrics that an interrupted run continues as if nothing had happened.

    Rows are written as they come. A checkpoint remembers how many there were; a run that resumes from
    it drops later ones. Differs from Lightning's ``CSVLogger``, which deletes the table it finds and
    holds back up to 100 rows. Epochs are counted from 1, which Lightning counts from 0.

    Args:
        path: file of the table.
        only: metrics to keep; None: all.
        without: metrics to leave out, such as timings, which differ between equal runs.
    """

    def __init__(
        self, path: str, *, only: Sequence[str] | None = None, without: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.only = only
        self.without = frozenset(without)
        self._columns: list[str] = []
        self._num_rows = 0

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any
    ) -> None:
        """The run folder already holds the configuration."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        kept = {
            key: float(value)
            for key, value in metrics.items()
            if key != "epoch"
            and key not in self.without
            and (self.only is None or key in self.only)
        }
        if not kept:
            return
        row = kept | {"step": step}
        if "epoch" in metrics:
            row["epoch"] = int(metrics["epoch"]) + 1
        new = row.keys() - set(self._columns)
        if new:
            self._rewrite(sorted({*self._columns, *new}), self._num_rows)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns).writerow(row)
        self._num_rows += 1

    @rank_zero_only
    def save(self) -> None:
        """Flush all rows to disk."""
        if self._num_rows:
            with self.path.open("a", encoding="utf-8") as file:
                os.fsync(file.fileno())

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` needs to drop rows that come later."""
        return {"columns": list(self._columns), "num_rows": self._num_rows}

    @rank_zero_only
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the rows that existed when the state was taken."""
        self._rewrite(state["columns"], state["num_rows"])

    def _rewrite(self, columns: Sequence[str], num_rows: int) -> None:
        """Give the table these columns and the first rows that it had."""
        rows: list[dict[str, str]] = []
        if num_rows and self.path.is_file():
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = list(islice(csv.DictReader(file), num_rows))
        self._columns, self._num_rows = list(columns), len(rows)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (
            draft_of(self.path) as draft,
            draft.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, self._columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
