import time
from types import SimpleNamespace

import pytest
import torch

from gcvideo.training import EpochLine, LearningCurve, ProgressBar, Throughput

pytestmark = pytest.mark.usefixtures("unchecked")  # stand-ins for trainer and module


def fake_trainer(**values):
    given = {
        "world_size": 1,
        "is_global_zero": True,
        "current_epoch": 0,
        "max_epochs": 2,
        "global_step": 7,
        "callback_metrics": {},
        "check_val_every_n_epoch": 1,
    }
    return SimpleNamespace(**(given | values))


def test_throughput_splits_time_into_waiting_and_stepping():
    logged = {}
    module = SimpleNamespace(log_dict=lambda values, **_: logged.update(values))
    trainer = fake_trainer(world_size=2)
    batch = {"labels": torch.zeros(4, 1)}
    callback = Throughput()
    callback.on_train_epoch_start(trainer, module)
    for _ in range(2):
        time.sleep(0.03)
        callback.on_train_batch_start(trainer, module, batch, 0)
        time.sleep(0.01)
        callback.on_train_batch_end(trainer, module, None, batch, 0)
    assert 0.5 < logged["data_wait"] < 0.95
    assert callback.waits.views == 8
    assert logged["clips_per_second"] == pytest.approx(16 / callback.waits.seconds)


def test_an_epoch_prints_one_line(capsys):
    metrics = {"train/loss_epoch": torch.tensor(0.5), "val/top1": torch.tensor(0.25)}
    EpochLine().on_train_epoch_end(fake_trainer(callback_metrics=metrics), None)
    assert capsys.readouterr().out == "epoch 1/2  loss 0.500  val top-1 0.250\n"


@pytest.mark.parametrize("epoch", [0, 1, 2, 3])
def test_an_epoch_without_a_validation_shows_none(epoch, capsys, tmp_path):
    metrics = {"train/loss_epoch": torch.tensor(0.5), "val/top1": torch.tensor(0.25)}
    trainer = fake_trainer(current_epoch=epoch, check_val_every_n_epoch=2, callback_metrics=metrics)
    EpochLine().on_train_epoch_end(trainer, None)
    assert ("val top-1" in capsys.readouterr().out) == (epoch in (1, 3))
    curve = LearningCurve(str(tmp_path))
    curve.on_train_epoch_end(trainer, None)
    assert ("val/top1" in curve.history) == (epoch in (1, 3))


def test_the_learning_curve_is_drawn_and_survives_a_checkpoint(tmp_path):
    curve = LearningCurve(str(tmp_path))
    for epoch in range(2):
        metrics = {"val/top1": torch.tensor(0.1 * epoch), "val/loss": torch.tensor(2.0)}
        curve.on_train_epoch_end(fake_trainer(current_epoch=epoch, callback_metrics=metrics), None)
    assert (tmp_path / "learning_curve.png").stat().st_size > 5000
    again = LearningCurve(str(tmp_path))
    again.load_state_dict(curve.state_dict())
    assert [value for _, value in again.history["val/top1"]] == pytest.approx([0.0, 0.1])


def test_the_progress_bar_shows_what_a_run_is_watched_for(monkeypatch):
    metrics = {"train/loss_step": 1.5, "train/top1_step": 0.25, "data_wait": 0.1, "other": 3.0}
    trainer = fake_trainer(progress_bar_metrics=metrics, loggers=[])
    shown = ProgressBar().get_metrics(trainer, None)
    assert shown == {"loss": 1.5, "top-1": 0.25, "data wait": 0.1}


@pytest.mark.parametrize("terminal", [True, False])
def test_the_progress_bar_is_silent_without_a_terminal(monkeypatch, terminal):
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    assert ProgressBar().is_enabled == terminal
