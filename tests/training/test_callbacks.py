import time
from types import SimpleNamespace

import pytest
import torch

from gcvideo.training import EpochLine, LearningCurve, Throughput

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
        "progress_bar_callback": None,
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


@pytest.mark.parametrize("epoch", [0, 1, 2, 3])
def test_an_epoch_without_a_validation_shows_none(epoch, capsys, tmp_path):
    metrics = {"train/loss_epoch": torch.tensor(0.5), "val/top1": torch.tensor(0.25)}
    trainer = fake_trainer(current_epoch=epoch, check_val_every_n_epoch=2, callback_metrics=metrics)
    EpochLine().on_train_epoch_end(trainer, None)
    assert ("top-1 val 0.250" in capsys.readouterr().out) == (epoch in (1, 3))
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
