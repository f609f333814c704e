import functools
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from lightning import Callback
from quiet_trainer import make_trainer
from small_protocol import make_protocol
from torchvision.transforms import v2

from gcvideo.data import TrainTransform, VideoDataModule, annotated_videos
from gcvideo.data.loading._multigrid import ClipShape, Multigrid
from gcvideo.models import ClipClassifier, Head, slow_resnet
from gcvideo.nn._batch_norm import GroupBatchNorm3d
from gcvideo.training import (
    AtomicCheckpointIO,
    ProgressCheckpoint,
    VideoClassifier,
    WarmupCosine,
    WarmupSteps,
)
from gcvideo.training._multigrid import MultigridCycle, MultigridRate
from gcvideo.training._precise_batch_norm import PreciseBatchNorm

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
]
FOUR_EPOCHS = {"max_epochs": 4, "reload_dataloaders_every_n_epochs": 1}
KINETICS = {"base": ClipShape(32, 2, 224), "num_epochs": 239}
SCHEDULE = Multigrid(
    long_cycle_factors=[(0.5, 1), (1, 1)],
    short_cycle_factors=[0.5],
    epoch_factor=2.0,
    cycle_ends=[0.5],
    bn_base_size=1,
).schedule(ClipShape(4, 2, 32), num_epochs=2)


def test_stepwise_rates_are_those_of_pyslowfast_for_its_kinetics_recipe():
    """SOLVER.LRS and STEPS as PySlowFast computes them, and its warm-up of 34 epochs from 0.1."""
    multigrid = Multigrid().schedule(**KINETICS, milestones=[94, 154, 196])
    recipe = WarmupSteps(milestones=[94, 154, 196], warmup_epochs=34, start=0.1)
    rate = MultigridRate(scheduler=recipe, multigrid=multigrid)
    starts = [0, 73, 110, 142, 158, 205, 228, 248, 259, 291, 308, 322, 329, 343]
    factors = [8, 4, 2, 1, 0.8, 0.4, 0.2, 0.1, 0.08, 0.04, 0.02, 0.01, 0.01, 0.001]
    for start, end, factor in zip(starts, [*starts[1:], 358], factors, strict=True):
        for epoch in (max(start, 34), (start + end) / 2 + 34 * (start == 0), end - 0.01):
            assert rate.factor(min(epoch, end - 0.01), 358.0) == pytest.approx(factor)
    assert rate.factor(0, 358.0) == pytest.approx(0.1)
    assert rate.factor(17, 358.0) == pytest.approx((0.1 + 8) / 2)


def test_a_cosine_is_spread_over_the_run_and_scaled_with_the_batch_size():
    multigrid = Multigrid().schedule(**KINETICS)
    recipe = WarmupCosine(warmup_epochs=10, start=0.1)
    rate = MultigridRate(scheduler=recipe, multigrid=multigrid)
    plain = WarmupCosine()
    for epoch in (10.0, 72.9, 73.0, 120.5, 200.0, 357.9):
        expected = multigrid.long_cycle(epoch).factor * plain.factor(epoch, 358.0)
        assert rate.factor(epoch, 358.0) == pytest.approx(expected)
    assert rate.factor(5.0, 358.0) == pytest.approx((0.1 + 8 * plain.factor(10.0, 358.0)) / 2)


def make_data(root, **changes):
    given = {
        "protocol": make_protocol(),
        "transform": TrainTransform([v2.RandomCrop(32)]),
        "transforms": {size: TrainTransform([v2.RandomCrop(size)]) for size in (16, 32)},
        "multigrid": SCHEDULE,
        "batch_size": 1,
        "num_workers": 0,
    }
    return VideoDataModule(annotated_videos(root=str(root)), **(given | changes))


def make_module():
    net = slow_resnet(num_classes=2, width=4, dropout=0.0)
    for head in net.modules():
        if isinstance(head, Head):
            head.configure("fcn_prob", 1)
    return VideoClassifier(
        ClipClassifier(net, mean=[0.45] * 3, std=[0.225] * 3),
        classes=["dark", "light"],
        optimizer=functools.partial(torch.optim.SGD, momentum=0.9),
        scheduler=MultigridRate(scheduler=WarmupCosine(), multigrid=SCHEDULE),
        lr=0.01,
        base_batch_size=1,
        views_per_step=1,
    )


class Journal(Callback):
    """What the net sees: shape of the views, mode of the head, splits in batch norm, rate."""

    def __init__(self):
        self.training, self.validation = [], []

    @staticmethod
    def _state(pl_module, batch):
        (head,) = (m for m in pl_module.modules() if isinstance(m, Head))
        splits = {m.num_splits for m in pl_module.modules() if isinstance(m, GroupBatchNorm3d)}
        return tuple(batch["views"].shape[i] for i in (0, 3, 4)), head.mode, splits

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        state = self._state(pl_module, batch)
        self.training.append((trainer.current_epoch, *state, rate))

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self.validation.append(self._state(pl_module, batch))


@pytest.mark.slow
def test_each_epoch_of_a_training_has_its_shapes_batches_groups_and_rates(
    video_folder, tmp_path, capsys
):
    journal, module, data = Journal(), make_module(), make_data(video_folder)
    # The journal sees what the cycle has set; precise statistics meet splits of the base batch.
    callbacks = [MultigridCycle(), PreciseBatchNorm(num_batches=4), journal]
    make_trainer(tmp_path, callbacks=callbacks, **FOUR_EPOCHS).fit(module, data)

    large = [((8, 2, 16), "adaptive", {2}), ((2, 2, 32), "adaptive", {2})]
    full = [((4, 4, 16), "adaptive", {1}), ((1, 4, 32), "adaptive", {1})] * 2
    assert [row[:4] for row in journal.training] == [
        *((epoch, *state) for epoch in (0, 1) for state in large),
        *((epoch, *state) for epoch in (2, 3) for state in full),
    ]
    assert [data.num_batches(epoch) for epoch in range(4)] == [2, 2, 4, 4]
    assert {row[1:] for row in ((s, mode, *splits) for s, mode, splits in journal.validation)} == {
        ("fcn_prob", 1)
    }
    # The whole epochs that a batch stands in, whatever their number of batches.
    positions = [0, 1 / 2, 1, 3 / 2, *(epoch + i / 4 for epoch in (2, 3) for i in range(4))]
    recipe = WarmupCosine()
    expected = [0.01 * (2 if p < 2 else 1) * recipe.factor(p, 4.0) for p in positions]
    assert [row[4] for row in journal.training] == pytest.approx(expected)
    (head,) = (m for m in module.modules() if isinstance(m, Head))
    assert head.mode == "fcn_prob"
    printed = capsys.readouterr().out
    assert "multigrid  from epoch 1: 2 x batch size, 2 x 32 x 32, sampling rate 4, 2 gr" in printed
    assert "multigrid  from epoch 3: 1 x batch size, 4 x 32 x 32, sampling rate 2, 1 gr" in printed
    assert printed.count("multigrid") == 2


@pytest.mark.parametrize(
    ("batch_size", "clips_per_video", "base_size", "num_splits"),
    [(8, 1, 8, 2), (3, 1, 8, 1), (8, 2, 8, 4), (14, 1, 8, 2), (7, 1, 4, 2), (5, 1, 3, 2)],
)
@pytest.mark.usefixtures("unchecked")  # a stand-in for the trainer
def test_batch_norm_groups_have_the_base_size_or_the_next_that_divides(
    batch_size, clips_per_video, base_size, num_splits
):
    """Of twice the batch size: 28 clips in groups of at least 8 are 2 groups of 14, not 3."""
    data = SimpleNamespace(
        batch_size=batch_size,
        clips_per_video=clips_per_video,
        multigrid=SimpleNamespace(bn_base_size=base_size),
    )
    trainer = SimpleNamespace(datamodule=data)
    assert MultigridCycle._num_splits(trainer, 2) == num_splits


@pytest.mark.parametrize(
    ("data_changes", "trainer_changes", "message"),
    [
        ({"multigrid": None}, {}, r"multigrid is None, .* pass VideoDataModule\(multigrid="),
        (
            {},
            {"reload_dataloaders_every_n_epochs": 0},
            "is 0, but multigrid epochs differ .* set trainer.reload_dataloaders_every_n_epochs=1",
        ),
        (
            {},
            {"max_epochs": 3},
            "max_epochs is 3, but .* for 4 epochs; set trainer.max_epochs=4",
        ),
    ],
)
def test_a_training_that_cannot_follow_the_cycle_is_refused(
    video_folder, tmp_path, data_changes, trainer_changes, message
):
    changes = FOUR_EPOCHS | trainer_changes
    trainer = make_trainer(tmp_path, callbacks=[MultigridCycle()], **changes)
    with pytest.raises(ValueError, match=message):
        trainer.fit(make_module(), make_data(video_folder, **data_changes))


class Stop(Callback):
    """Ends the run at the second batch of the first epoch of full clips."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (2, 2):
            raise RuntimeError("stopped")


# The data module goes on in the middle of an epoch; Lightning looks for another kind of loader.
@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended")
@pytest.mark.slow
def test_a_run_stopped_in_the_middle_of_an_epoch_goes_on_with_its_shapes(video_folder, tmp_path):
    def run(folder, *more, num_workers=0, ckpt_path=None):
        torch.manual_seed(0)
        journal, module = Journal(), make_module()
        callbacks = [ProgressCheckpoint(str(folder), 1), MultigridCycle(), journal, *more]
        options = {"callbacks": callbacks, "plugins": [AtomicCheckpointIO()], **FOUR_EPOCHS}
        trainer = make_trainer(tmp_path, **options)
        data = make_data(video_folder, num_workers=num_workers)
        stopped = pytest.raises(RuntimeError, match="stopped") if more else nullcontext()
        with stopped:
            trainer.fit(module, data, ckpt_path=ckpt_path)
        return journal.training, module.state_dict()

    whole, expected = run(tmp_path / "whole")
    run(tmp_path / "parts", Stop())
    last = tmp_path / "parts" / "last.ckpt"
    rest, found = run(tmp_path / "parts", num_workers=2, ckpt_path=last)
    assert rest == whole[6:]
    assert rest[0][:2] == (2, (4, 4, 16))
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
