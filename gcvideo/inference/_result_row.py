"""What was measured of a checkpoint, as the folders of its run and of a test tell it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcvideo.weights._state_file import CheckpointError
from gcvideo.weights._zoo import ZOO

_FILE = "results.json"


@dataclass(frozen=True)
class ResultRow:
    """Accuracies as fractions, and what they are of; None for what is not known."""

    measured_on: str
    top1: float | None
    top5: float | None = None
    baselines: Mapping[str, Any] | None = None
    calibration: Mapping[str, Any] | None = None

    def markdown(self) -> str:
        """A row with the columns measured on, top-1, top-5, calibration error, chance and majority."""
        blind = self.baselines or {}
        majority = _number(blind.get("majority_top1"))
        if "majority_class" in blind:
            majority += f" (always `{blind['majority_class']}`)"
        error = (self.calibration or {}).get("expected_calibration_error")
        numbers = (self.top1, self.top5, error, blind.get("chance_top1"))
        cells = (self.measured_on, *map(_number, numbers))
        return f"| {' | '.join(cells)} | {majority} |"


def run_results(source: str | None) -> Mapping[str, Any] | None:
    """``results.json`` of the finished training that has written a checkpoint; None where there is none."""
    file = None if source is None else Path(source).absolute()
    if file is None or file.parent.name != "checkpoints":
        return None
    results = file.parent.parent / _FILE
    return json.loads(results.read_text(encoding="utf-8")) if results.is_file() else None


def validation_row(source: str, results: Mapping[str, Any]) -> ResultRow | None:
    """The validation of a training's best or last checkpoint; None for its other files."""
    metrics, name = results["metrics"], Path(source).stem
    videos = (
        f"{results['videos']['val']} videos, single views, {results['precision']['validation']}"
    )
    if name == "best" and "best_val_top1" in metrics:
        measured_on = f"validation: {videos}; the epoch was chosen by this figure"
        return ResultRow(measured_on, metrics["best_val_top1"], None, results["baselines"])
    if name == "last" and "last_val_top1" in metrics:
        measured_on = f"validation: {videos}, after epoch {results['last_validated_epoch']}"
        top1, top5 = metrics["last_val_top1"], metrics.get("last_val_top5")
        found = results.get("calibration")
        return ResultRow(measured_on, top1, top5, results["baselines"], found)
    return None


def held_out_row(source: str | None, folder: str | Path) -> ResultRow:
    """The result of ``gcvideo test``; CheckpointError if it is none, or that of another checkpoint."""
    file = Path(folder) / _FILE
    results = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if "test/top1" not in results.get("metrics", {}):
        raise CheckpointError(
            f"test is '{folder}', which has no {_FILE} of a test; give the folder that `gcvideo test` named "
            "at its end"
        )
    tested = Path(results["checkpoint"])
    own = Path(source or "").absolute()
    # A test names its checkpoint as it was typed, from the folder in which it ran.
    if source is None or own.parts[-len(tested.parts) :] != tested.parts:
        raise CheckpointError(
            f"test is '{folder}', which is of the checkpoint '{tested}', but the net is from '{source}'; "
            "give the folder of a test of the same checkpoint"
        )
    metrics, data = results["metrics"], results["data"]
    # Where the training's data names no test, it is the validation.
    whose = "of data named for the test" if data else "that the training's data holds out"
    measured_on = (
        f"test: {results['videos_scored']} of {results['videos_listed']} videos {whose}; "
        f"{results['protocol']}; {results['precision']} by {results['engine']}"
    )
    return ResultRow(
        measured_on,
        metrics["test/top1"],
        metrics["test/top5"],
        results["baselines"],
        results.get("calibration"),
    )


def published_row(source: str | None) -> ResultRow | None:
    """The authors' figures for published weights; None for other sources."""
    record = ZOO.get(source or "")
    if record is None:
        return None
    measured_on = f"{record.accuracy_source}: {record.views} views; not measured by gcvideo"
    return ResultRow(measured_on, record.top1 / 100, record.top5 / 100)


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4f}"
