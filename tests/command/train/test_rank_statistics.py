import csv
import json
import math

import pytest
from statistics_ranks import BATCH_NORMS
from two_ranks import run_in_two

from gcvideo.command._testing import test as score

pytestmark = pytest.mark.slow  # four trainings


@pytest.fixture(scope="module")
def runs(project, tmp_path_factory):
    """The folders of trainings by two processes, started once."""
    folder = tmp_path_factory.mktemp("runs")
    run_in_two(project / "tests" / "statistics_ranks.py", folder)
    return folder


def best_validation(folder):
    """Accuracy and loss of the first of the best epochs, as they were logged."""
    with (folder / "csv" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["val/top1"]]
    best = max(rows, key=lambda row: float(row["val/top1"]))
    return float(best["val/top1"]), float(best["val/loss"])


def log_loss(folder):
    with (folder / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    return sum(-math.log(float(row[row["label"]])) for row in rows) / len(rows)


@pytest.mark.parametrize("batch_norm", BATCH_NORMS)
def test_the_best_validation_of_two_ranks_is_that_of_the_file_that_is_kept(
    runs, tmp_path, compose_config, batch_norm
):
    """Each rank has seen other videos, and validates its share of them."""
    folder = runs / batch_norm
    words = [
        "report=false",
        "num_clips=1",
        "num_crops=1",
        "num_workers=0",
        "trainer=cpu",
        f"output_dir={tmp_path}",
    ]
    best = folder / "checkpoints" / "best.ckpt"
    metrics = score(compose_config("test", [f"checkpoint={best}", *words]))
    logged = json.loads((folder / "results.json").read_text())["metrics"]["best_val_top1"]
    top1, loss = best_validation(folder)
    assert metrics["test/top1"] == logged == pytest.approx(top1, abs=1e-6)
    assert log_loss(tmp_path) == pytest.approx(loss, rel=1e-5)
