import time
from types import SimpleNamespace

import pytest
import torch
from lightning import Callback, LightningDataModule, LightningModule
from quiet_trainer import make_trainer
from torch.utils.data import DataLoader, Dataset, default_collate

from gcvideo.training._throughput import DataWait, Throughput, describe_data_wait


class Videos(Dataset):
    """Videos whose decoding and transform take given seconds, and which say so."""

    def __init__(self, num_videos, decoding, transforming):
        self.num_videos = num_videos
        self.seconds = decoding, transforming

    def __len__(self):
        return self.num_videos

    def __getitem__(self, video):
        time.sleep(sum(self.seconds))
        return {
            "views": torch.ones(1, 4),
            "labels": torch.zeros(1, dtype=torch.int64),
            "seconds": torch.tensor(self.seconds),
        }


class Data(LightningDataModule):
    def __init__(self, decoding=0.0, transforming=0.0, transferring=0.0, workers=0, videos=6):
        super().__init__()
        self.videos = Videos(videos, decoding, transforming)
        self.transferring = transferring
        self.workers = workers

    def train_dataloader(self):
        return DataLoader(
            self.videos,
            batch_size=2,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            collate_fn=default_collate,
        )

    def transfer_batch_to_device(self, batch, device, dataloader_idx):
        time.sleep(self.transferring)
        return super().transfer_batch_to_device(batch, device, dataloader_idx)


class Net(LightningModule):
    def __init__(self, stepping=0.0):
        super().__init__()
        self.linear = torch.nn.Linear(4, 1)
        self.stepping = stepping

    def training_step(self, batch, index):
        time.sleep(self.stepping)
        return self.linear(batch["views"]).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def run(data, net=None, *, callbacks=(), accelerator="cpu"):
    throughput = Throughput()
    trainer = make_trainer(None, accelerator=accelerator, callbacks=[throughput, *callbacks])
    trainer.fit(net or Net(0.01), data)
    assert "batch_to_device" not in vars(trainer.strategy)  # it is itself again
    return throughput


# Lightning advises more workers; so do we, but only where they are needed.
pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")


def test_slow_decoding_is_named_with_its_seconds_and_the_cores_it_needs(capsys, monkeypatch):
    monkeypatch.setattr("gcvideo.training._throughput.usable_cores", lambda: 64)
    throughput = run(Data(decoding=0.05, transforming=0.005, workers=1), Net(0.02))
    printed = capsys.readouterr().out
    assert "decoding takes 91% of the workers' time (50 ms per video)" in printed
    assert "gcvideo reencode" in printed
    assert "gcvideo index" in printed
    waits = throughput.waits
    # Two videos of 0.055 s per step of 0.02 s.
    needed = -(-2 * 0.055 // (waits.stepping / 3))
    assert f"it needs {needed:.0f} cores and has 64: set num_workers={needed:.0f}" in printed
    assert waits.decoding == pytest.approx(6 * 0.05)
    assert "no worker processes" not in printed


def test_a_slow_transform_is_named_and_absent_workers_come_first(capsys):
    run(Data(decoding=0.005, transforming=0.03))
    printed = capsys.readouterr().out
    assert "of the time: there are no worker processes" in printed
    assert "transforming takes 86% of the loading time (30 ms per video)" in printed
    assert "transform=jitter_crop" in printed


def test_a_slow_transfer_is_told_apart_from_waiting_for_workers(capsys):
    throughput = run(Data(decoding=0.001, transferring=0.05))
    printed = capsys.readouterr().out
    assert "the transfer to it takes" in printed
    assert "pinned memory" in printed
    assert "decoding" not in printed
    assert throughput.waits.transferring >= 3 * 0.05
    assert throughput.waits.fetching < throughput.waits.transferring


def test_nothing_is_said_when_the_step_is_the_slow_part(capsys):
    throughput = run(Data(decoding=0.001), Net(0.15))
    assert capsys.readouterr().out == ""
    assert throughput.waits.share < 0.2
    assert throughput.waits.stepping >= 3 * 0.15


@pytest.mark.usefixtures("unchecked")
def test_the_message_comes_once_per_rise_of_the_share(capsys):
    throughput, told = Throughput(), []
    for share in (0.43, 0.43, 0.1, 0.19, 0.21, 0.5):
        throughput.waits = DataWait(100 * share, 0, 100 * (1 - share), 9, 1, 1, 9)
        throughput.on_train_epoch_end(fake_trainer(), None)
        told.append("the device waits for data" in capsys.readouterr().out)
    assert told == [True, False, False, False, True, False]


def fake_trainer(**values):
    loader = SimpleNamespace(num_workers=4, pin_memory=True, dataset=())
    given = {"world_size": 1, "is_global_zero": True, "num_devices": 2, "train_dataloader": loader}
    return SimpleNamespace(**(given | values))


def test_long_epochs_are_checked_after_fifty_steps_and_not_again_at_their_end(capsys):
    counted = []

    class Count(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            counted.append(capsys.readouterr().out.count("the device waits for data"))

        def on_train_end(self, trainer, pl_module):
            counted.append(capsys.readouterr().out.count("the device waits for data"))

    run(Data(decoding=0.005, videos=110), Net(0.0), callbacks=[Count()])
    assert [step for step, count in enumerate(counted) if count] == [49]
    assert sum(counted) == 1


def described(waits, **values):
    given = {"num_workers": 4, "pin_memory": True, "num_devices": 1, "num_cores": 16}
    return describe_data_wait(waits, **(given | values))


SLOW = DataWait(fetching=43, stepping=57, views=100, decoding=310, transforming=200, videos=100)


def test_the_message_has_the_figures_of_a_known_case():
    # 5.1 s of work per clip at 100 / 57 clips/s of the device: 8.9 cores.
    assert described(SLOW) == (
        "the device waits for data 43% of the time: decoding takes 61% of the workers' time (3.1 s "
        "per video); the device could do 1.75 clips/s, for which it needs 9 cores and has 16: set "
        "num_workers=9; decoding gets faster with videos made small by `gcvideo reencode` "
        "(short_side=256 gop_size=16) and, if there is none yet, a frame index by `gcvideo index`"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        # Two devices share the cores of the machine.
        ({"num_devices": 2}, "9 cores and has 8: set num_workers=8"),
        ({"num_cores": 4}, "9 cores and has 4: its 4 workers use them all"),
        ({"num_workers": 12}, "9 cores and has 16, and 12 workers: other programs"),
    ],
)
def test_the_number_of_workers_is_advised_within_the_cores_there_are(values, message):
    assert message in described(SLOW, **values)


def test_frames_in_memory_need_no_workers():
    waits = DataWait(fetching=43, stepping=57, views=100, decoding=31, transforming=2, videos=100)
    told = described(waits, num_workers=0, keeps_frames=True)
    assert "frames stay in memory once they are read" in told
    assert "raise frame_cache_gb" in told
    assert "worker" not in told


def test_transfer_from_pinned_memory_has_other_remedies():
    waits = DataWait(transferring=50, stepping=50, views=100, decoding=1, transforming=1, videos=9)
    assert "the transfer to it takes 50% of the time (500 ms per clip)" in described(waits)
    assert "pinned memory already; fewer or smaller frames" in described(waits)
    assert "see pin_memory of VideoDataModule" in described(waits, pin_memory=False)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("rank", [0, 1])
def test_all_ranks_follow_the_one_that_waits_most_and_rank_zero_tells(rank, monkeypatch, capsys):
    monkeypatch.setattr("gcvideo.training._throughput.gathered", lambda own: [own, SLOW])
    trainer = fake_trainer(world_size=2, is_global_zero=rank == 0)
    throughput = Throughput()
    throughput.waits = DataWait(fetching=1, stepping=99, views=100)
    for _ in range(2):
        throughput.on_train_epoch_end(trainer, None)
    assert capsys.readouterr().out.count("waits for data 43% of the time") == (rank == 0)


@pytest.mark.gpu
def test_cuda_events_tell_waiting_transfer_and_step_apart():
    """The step runs on after the host has left it, and is no waiting."""

    class Long(Net):
        def training_step(self, batch, index):
            torch.cuda._sleep(int(2e8))
            return super().training_step(batch, index)

    throughput = run(Data(decoding=0.001, videos=20), Long(), accelerator="gpu")
    assert throughput.waits.views == 20
    assert throughput.waits.share < 0.2
