import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).resolve().parents[2] / "killed_training.py"


def killed_run(data, folder, signal_name, num_kills, *overrides, timeout=900):
    """The exit statuses of a run that was killed and resumed; beside it lies one that was not."""
    subprocess.run(
        [
            sys.executable,
            str(SCRIPT),
            str(data),
            str(folder),
            signal_name,
            str(num_kills),
            *overrides,
        ],
        check=True,
        timeout=timeout,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return json.loads((folder / "statuses.json").read_text())


def last_checkpoint(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def assert_equal_runs(folder):
    whole, killed = last_checkpoint(folder / "whole"), last_checkpoint(folder / "killed")
    parts = ("state_dict", "optimizer_states", "lr_schedulers", "train_metrics", "val_scores")
    for part in (*parts, "loops"):
        assert_equal(whole[part], killed[part])
    tables = [folder / name / "csv" / "metrics.csv" for name in ("whole", "killed")]
    assert tables[0].read_bytes() == tables[1].read_bytes()
    results = [json.loads((folder / n / "results.json").read_text()) for n in ("whole", "killed")]
    assert results[0]["metrics"] == results[1]["metrics"]
    assert results[0]["calibration"] == results[1]["calibration"] is not None


def assert_equal(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_equal(one, other)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b


def seen(*journals):
    """Rows of (epoch, batch, videos) in the order of time."""
    return [json.loads(line) for path in journals for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_ten_kills_leave_weights_and_log_bit_equal_to_an_uninterrupted_run(tmp_path, video_folder):
    statuses = killed_run(
        video_folder,
        tmp_path,
        "SIGKILL",
        10,
        *("checkpoint.every_n_steps=3", "epochs=7", "ema=default", "ema.decay=0.9"),
    )
    assert statuses == [-9] * 10 + [0]
    assert_equal_runs(tmp_path)
    whole = seen(tmp_path / "whole.jsonl")
    assert len(whole) == 35
    killed = [seen(path) for path in sorted(tmp_path.glob("killed_*.jsonl"))]
    # What a step has seen last is what the weights have learnt from.
    lasting = {(epoch, batch): videos for run in killed for epoch, batch, videos in run}
    assert lasting == {(epoch, batch): videos for epoch, batch, videos in whole}
    assert sum(map(len, killed)) - len(whole) <= 10 * 3


def assert_loses_no_step(folder, data, signal_name, num_signals, status, *overrides):
    statuses = killed_run(data, folder, signal_name, num_signals, *overrides)
    assert statuses == [status] * num_signals + [0]
    assert_equal_runs(folder)
    journals = sorted(folder.glob("killed_*.jsonl"))
    assert seen(*journals) == seen(folder / "whole.jsonl")


@pytest.mark.slow
def test_a_run_that_is_asked_to_stop_loses_no_step(tmp_path, video_folder):
    assert_loses_no_step(tmp_path, video_folder, "SIGTERM", 3, 143, "epochs=2")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signal_name", "status", "overrides"),
    [
        ("SIGTERM", 143, ["ema=default", "batch_norm.precise_batches=1"]),
        ("SIGINT", 130, ["train_only=blocks", "trainer.accumulate_grad_batches=2"]),
        ("SIGUSR1", 138, ["mixing=mixup", "clips_per_video=2"]),
    ],
)
def test_a_run_can_be_stopped_anywhere_under_any_recipe(
    tmp_path, video_folder, signal_name, status, overrides
):
    assert_loses_no_step(tmp_path, video_folder, signal_name, 8, status, "epochs=10", *overrides)
