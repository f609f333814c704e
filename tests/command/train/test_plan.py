"""What a training consists of, before it begins."""

from collections import Counter
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from gcvideo.command.train._plan import devices_per_node, plan_training
from gcvideo.data import Multigrid
from gcvideo.data.loading._multigrid import ClipShape
from gcvideo.data.loading._sampler import EpochBatchSampler, EpochSampler


def planned(num_train=10, num_val=7, multigrid=None, **values):
    trainer = {
        "devices": 1,
        "num_nodes": 1,
        "accelerator": "cpu",
        "max_epochs": 6,
        "accumulate_grad_batches": 1,
        "limit_train_batches": None,
        "limit_val_batches": None,
        "check_val_every_n_epoch": 1,
    }
    splits = SimpleNamespace(train=range(num_train), val=range(num_val))
    data = SimpleNamespace(splits=splits, batch_size=2, clips_per_video=1, multigrid=multigrid)
    return plan_training(OmegaConf.create(trainer | values), data, statistics_batches=200)


@pytest.mark.usefixtures("unchecked")
def test_limits_of_the_trainer_count():
    assert planned().num_steps == 6 * 5
    assert planned(limit_train_batches=3).num_steps == 6 * 3
    assert planned(limit_train_batches=0.5).num_steps == 6 * 2
    assert planned(accumulate_grad_batches=2).num_steps == 6 * 3
    assert planned(accumulate_grad_batches=2).clips_per_step == 2 * 2
    assert planned(accumulate_grad_batches=8).num_steps == 6
    assert planned(accumulate_grad_batches=8).clips_per_step == 5 * 2  # all of an epoch
    assert (planned().num_validations, planned().val_videos) == (6, 7)
    assert planned(check_val_every_n_epoch=4).num_validations == 1
    assert planned(limit_val_batches=2).val_videos == 4
    assert planned(devices=2).val_videos == 4
    assert planned().statistics_batches == 5  # all of an epoch


@pytest.mark.usefixtures("unchecked")
def test_batches_are_those_that_the_sampler_gives_for_each_shape():
    schedule = Multigrid().schedule(ClipShape(8, 8, 224), num_epochs=6, milestones=[3, 5])
    plan = planned(num_train=300, multigrid=schedule, max_epochs=schedule.num_epochs)
    assert schedule.num_epochs > 3
    sampler = EpochSampler(300)
    batches = EpochBatchSampler(sampler, 2, schedule)
    seen, lengths = Counter(), []
    for epoch in range(schedule.num_epochs):
        sampler.set_epoch(epoch)
        epoch_batches = list(batches)
        lengths.append(len(epoch_batches))
        seen += Counter((len(keys), keys[0][2]) for keys in epoch_batches)
    assert dict(plan.batches) == seen
    assert (plan.num_steps, plan.num_epochs) == (sum(lengths), schedule.num_epochs)
    assert plan.steps_per_epoch == f"{min(lengths)} to {max(lengths)}"
    assert plan.num_clips == sum(videos * count for (videos, _), count in seen.items())


@pytest.mark.usefixtures("unchecked")
def test_more_devices_than_videos_give_no_plan():
    with pytest.raises(
        ValueError, match="batch_size is 2 but there are only 10 training videos for 8 devices"
    ):
        planned(devices=4, num_nodes=2)


@pytest.mark.parametrize(
    ("devices", "number"), [(3, 3), ("8", 8), ("0,1", 2), ("1,", 1), ([0, 2, 3], 3), ("auto", 1)]
)
def test_devices_are_counted_as_lightning_does(devices, number):
    trainer = OmegaConf.create({"devices": devices, "accelerator": "cpu"})
    assert devices_per_node(trainer) == number


def test_all_devices_are_those_of_this_machine(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    for devices in ("auto", -1, "-1"):
        trainer = OmegaConf.create({"devices": devices, "accelerator": "auto"})
        assert devices_per_node(trainer) == 4
