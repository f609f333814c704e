import dataclasses
import math

import numpy as np
import pytest
from gcvideo_runs import TINY
from rich.console import Console

from gcvideo.command._assembly import (
    build,
    build_data,
    build_module,
    settle,
)
from gcvideo.command.train._estimate_measurement import measure
from gcvideo.command.train._estimation import Estimate, given_step_seconds
from gcvideo.command.train._loading_time import LoadingTime
from gcvideo.command.train._plan import TrainingPlan
from gcvideo.command.train._step_time import StepTime
from gcvideo.data import Annotations
from gcvideo.data.loading._multigrid import ClipShape
from gcvideo.models import Cost
from gcvideo.models._memory import TrainingMemory


def estimate(compose_config, overrides, step_seconds, repeat, root, folder):
    """Of 10 videos, each listed ``repeat`` times, and 2 to validate."""
    given = [*TINY, "model=slow", "data=folder", f"data.root={root}", f"output_dir={folder}"]
    cfg = compose_config("train", [*given, *overrides])
    splits = build(cfg.data)
    train = splits.train
    paths, labels = list(train.paths) * repeat, np.tile(train.labels, repeat)
    listed = Annotations(paths, labels, train.classes, train.source, train.root)
    splits = dataclasses.replace(splits, train=listed)
    settle(cfg, splits)
    protocol = build(cfg.protocol)
    data = build_data(cfg, splits, protocol)
    module = build_module(cfg, build(cfg.model.net), data)
    return measure(cfg, data, module, step_seconds=step_seconds)


@pytest.fixture
def estimated(compose_config, video_folder, tmp_path):
    def run(*overrides, step_seconds=0.5, repeat=1):
        folder = tmp_path / "run"
        return estimate(compose_config, overrides, step_seconds, repeat, video_folder, folder)

    return run


def test_steps_clips_and_rate_are_the_hand_counted_ones(estimated):
    # 10 videos on 2 devices: 5 each, two batches of 2, accumulated to one step.
    result = estimated(
        "batch_size=2",
        "clips_per_video=3",
        "epochs=4",
        "trainer.devices=2",
        "trainer.accumulate_grad_batches=2",
        "lr=0.1",
        "base_batch_size=48",
    )
    plan = result.plan
    assert (plan.num_devices, plan.steps_per_epoch, plan.num_steps) == (2, "1", 4)
    assert plan.clips_per_step == 2 * 3 * 2 * 2
    assert plan.num_clips == 4 * 2 * 2 * 3 * 2
    assert result.learning_rate == pytest.approx(0.1 * 24 / 48)
    assert result.training_flops == 6 * result.cost.macs * plan.num_clips


def test_sixty_four_devices_are_planned_where_there_are_none(estimated):
    on_gpus = ["trainer=ddp", "trainer.devices=8", "trainer.num_nodes=8", "trainer.accelerator=gpu"]
    result = estimated(*on_gpus, "trainer.precision=bf16-mixed", "optimizer=adamw", repeat=60)
    # 600 videos / 64 devices / batches of 4.
    assert (result.plan.num_devices, result.plan.steps_per_epoch) == (64, "2")
    assert result.plan.clips_per_step == 256
    assert result.plan.val_videos == 1
    assert result.device_hours == pytest.approx(64 * result.hours)
    parameters, memory = result.cost.num_parameters, result.memory
    assert memory.gradients == 2 * 4 * parameters
    assert 8 * parameters < memory.optimizer_state < 8.1 * parameters
    assert memory.views == 4 * 3 * 4 * 32 * 32
    assert memory.work_space == 0
    assert "work space not known" in printed(result)
    assert f"about {memory.total / 2**20:.1f} MiB per device" in printed(result)


@pytest.mark.slow
def test_a_step_and_the_videos_are_timed_here_and_nothing_is_written(estimated, tmp_path):
    result = estimated("batch_size=2", step_seconds=None)
    assert "measured on the CPU" in result.step.source
    assert 0 < result.step.seconds < 30
    assert 0 < result.loading.seconds < 10
    assert 0 < result.hours < math.inf
    assert not list(tmp_path.iterdir())
    assert "GMACs per view" in printed(result)
    if result.step.peak_bytes is not None:  # where the system tells
        kept = dataclasses.replace(result.memory, work_space=0)
        assert result.memory.work_space == result.step.peak_bytes - (kept.total - kept.weights) > 0


@pytest.mark.slow
def test_work_space_of_a_smaller_batch_is_scaled(estimated, monkeypatch):
    def measured(model, optimizer, **options):
        return StepTime(0.5, "as measured", num_clips=2, peak_bytes=10**9)

    monkeypatch.setattr("gcvideo.command.train._estimate_measurement.time_step", measured)
    two = estimated("batch_size=2", step_seconds=None).memory
    four = estimated("batch_size=4", step_seconds=None).memory
    assert two.total - two.weights == 10**9
    assert four.work_space == 2 * two.work_space


# Fifteen batches of two videos, which a core loads in 0.6 s; two videos in each of three validations.
BASE = Estimate(
    plan=TrainingPlan(
        num_devices=4,
        epochs=[{(2, None): 5}] * 3,
        batch_size=2,
        clips_per_video=1,
        accumulated=1,
        num_validations=3,
        val_videos=2,
    ),
    learning_rate=0.1,
    cost=Cost(8, 224, 10, 10, ()),
    memory=TrainingMemory(1, 1, 1, 1, 1),
    step=StepTime(0.5, "as given"),
    loading=LoadingTime(0.3),
    num_workers=2,
    val_area=1.0,
    forward_seconds=0.5 / 2 / 3,
)


@pytest.mark.parametrize(
    ("workers", "pace", "batch_seconds", "val_seconds", "said"),
    [
        (2, "device", 0.5, 0.15, "the device "),
        (
            1,
            "data",
            0.6,
            0.3,
            "the data; num_workers=2, each with a core of its own, would keep up",
        ),
        (0, "data", 0.5 + 0.6, 0.5 / 2 / 3 + 0.3, "the data; num_workers=2, each"),
    ],
)
def test_hours_follow_from_the_slower_of_device_and_data(
    workers, pace, batch_seconds, val_seconds, said
):
    result = dataclasses.replace(BASE, num_workers=workers)
    assert result.pace == pace
    assert result.training_hours == pytest.approx(3 * 5 * batch_seconds / 3600)
    assert result.validation_hours == pytest.approx(3 * 2 * val_seconds / 3600)
    assert result.device_hours == pytest.approx(4 * result.hours)
    assert result.cores_needed == pytest.approx(1.2)
    assert said in printed(result)


def test_a_fast_loading_without_workers_is_still_waited_for():
    result = dataclasses.replace(BASE, num_workers=0, loading=LoadingTime(0.1))
    assert "the device, which waits for the data of each step" in printed(result)


def test_frames_that_stay_in_memory_are_part_of_it():
    told = printed(dataclasses.replace(BASE, num_workers=0, loading=LoadingTime(0.3, 3 * 2**30)))
    assert "work space not known; frames of videos up to 3.00 GiB" in told
    assert "the data; frames stay in memory once they are read" in told


def printed(result):
    console = Console(width=300)
    with console.capture() as capture:
        console.print(result.table())
    return capture.get()


def test_a_shape_of_multigrid_takes_time_by_its_macs_and_its_videos():
    small = ClipShape(4, 16, 112)
    plan = dataclasses.replace(BASE.plan, epochs=[{(2, None): 5, (16, small): 2}])
    result = dataclasses.replace(BASE, plan=plan, relative_macs={None: 1.0, small: 0.125})
    # 16 small videos are 16/2 x 0.125 = 1 step of the base shape, but 8 times as many to load.
    assert result.training_hours == pytest.approx((5 * 0.5 + 2 * 16 * 0.3 / 2) / 3600)
    assert result.training_flops == pytest.approx(6 * 10 * (5 * 2 + 2 * 16 * 0.125) * 4)


def test_batches_for_batch_norm_are_forward_passes_before_each_validation():
    plan = dataclasses.replace(BASE.plan, statistics_batches=4)
    result = dataclasses.replace(BASE, plan=plan, loading=LoadingTime(0.0))
    # 0.5 s of a step / 3 for each of 3 x 4 batches.
    assert result.training_hours == pytest.approx(BASE.training_hours + (3 * 4 * 0.5 / 3) / 3600)


@pytest.mark.slow
def test_what_a_training_keeps_besides_counts(estimated):
    plain = estimated("batch_size=2").memory
    averaged = estimated("batch_size=2", "ema=default").memory
    assert (plain.average, averaged.average) == (0, plain.weights)
    assert averaged.total == plain.total + plain.weights
    assert "average" in printed(estimated("batch_size=2", "ema=default"))
    recomputed = estimated("batch_size=2", "activation_checkpointing=true").memory
    # Of a residual block its input is kept, which is a part of what it would keep otherwise.
    assert recomputed.activations < 0.5 * plain.activations
    assert recomputed.weights == plain.weights


@pytest.mark.slow
def test_a_net_that_will_be_compiled_is_timed_so(estimated, monkeypatch):
    compiled = []
    monkeypatch.setattr("gcvideo.command.train._estimate_measurement.compile_net", compiled.append)
    estimated("batch_size=2", step_seconds=None)
    assert not compiled
    estimated("batch_size=2", "compile=true", step_seconds=None)
    assert len(compiled) == 1


@pytest.mark.slow
def test_the_memory_of_multigrid_is_that_of_its_largest_batch(estimated):
    given = ["epochs=4", "scheduler=warmup_steps", "scheduler.milestones=[1,2,3]", "batch_size=1"]
    base, grid = (
        estimated(*given, f"multigrid={name}", repeat=8) for name in ("none", "long_short")
    )
    assert grid.memory.views >= base.memory.views
    assert grid.memory.total >= base.memory.total
    assert grid.memory.weights == base.memory.weights
    assert len(grid.relative_macs) > 4
    assert min(grid.relative_macs.values()) < 0.2


@pytest.mark.parametrize("value", [0, -1.0, False, "soon", math.nan, math.inf, None])
def test_a_time_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match=r"estimate is .*; give true .* such as estimate=0\.35"):
        given_step_seconds(value)


def test_true_and_numbers_are_told_apart():
    assert given_step_seconds(True) is None
    assert given_step_seconds(1) == 1.0
    assert given_step_seconds(0.35) == 0.35
