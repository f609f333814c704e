import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from small_data import make_module, random_crop
from torchvision.transforms import v2

from gcvideo.data import TrainTransform, annotated_videos
from gcvideo.data.loading import _dataset as dataset


@pytest.mark.usefixtures("unchecked")  # a stand-in for the trainer
@pytest.mark.parametrize("world_size", [1, 2])
def test_the_number_of_batches_is_known_without_a_loader(video_folder, world_size):
    module = make_module(video_folder, transform=None)
    module.trainer = SimpleNamespace(global_rank=0, world_size=world_size, current_epoch=0)
    expected = {1: 5, 2: 2}[world_size]
    assert [module.num_batches(epoch) for epoch in (0, 7)] == [expected] * 2
    module.transform = random_crop()
    assert len(module.train_dataloader()) == expected


@pytest.mark.parametrize("budget", [None, 60.0])
def test_items_and_batches_say_how_long_reading_and_transforming_took(
    video_folder, monkeypatch, budget
):
    read, transform = (
        dataset._read_clips,
        dataset.evaluation_views,
    )

    def wait(seconds, work):
        def slow(*args, **kwargs):
            time.sleep(seconds)
            return work(*args, **kwargs)

        return slow

    class SlowTransform(TrainTransform):
        __call__ = wait(0.15, TrainTransform.__call__)

    monkeypatch.setattr(dataset, "_read_clips", wait(0.3, read))
    monkeypatch.setattr(dataset, "evaluation_views", wait(0.15, transform))
    module = make_module(video_folder, transform=SlowTransform([v2.RandomCrop(32)]))
    module.splits = annotated_videos(root=str(video_folder), time_budget_seconds=budget)
    for loader in (module.train_dataloader(), module.val_dataloader()):
        seconds = next(iter(loader))["seconds"]
        assert seconds.shape == (2, 2)
        assert seconds.dtype == torch.float32
        assert ((seconds >= torch.tensor([0.299, 0.149])) & (seconds < 5)).all()


def statistics(module, epoch, num_batches=3):
    batches = list(module.statistics_dataloader(epoch, num_batches))
    return [batch["video"].tolist() for batch in batches], [batch["views"] for batch in batches]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_statistics_clips_are_a_function_of_seed_and_epoch_with_a_stream_of_their_own(
    video_folder, num_workers
):
    module = make_module(video_folder, seed=4, num_workers=num_workers)
    videos, views = statistics(module, 1)
    again_videos, again_views = statistics(make_module(video_folder, seed=4), 1)
    assert videos == again_videos
    assert all(torch.equal(a, b) for a, b in zip(views, again_views, strict=True))
    assert [len(batch) for batch in videos] == [2, 2, 2]
    assert len({video for batch in videos for video in batch}) == 6
    assert statistics(module, 2)[0] != videos
    assert statistics(make_module(video_folder, seed=5), 1)[0] != videos
    # Training has another order, and other clips and crops of the same video.
    module.resume(1, 0)
    trained = {
        video: views
        for batch in module.train_dataloader()
        for video, views in zip(batch["video"].tolist(), batch["views"], strict=True)
    }
    assert list(trained)[:6] != [video for batch in videos for video in batch]
    shown = [video for batch in videos for video in batch]
    assert not any(torch.equal(trained[v], views[i // 2][i % 2]) for i, v in enumerate(shown))


@pytest.mark.usefixtures("unchecked")  # a stand-in for the trainer
def test_ranks_share_the_statistics_videos_and_a_small_set_gives_fewer_batches(video_folder):
    module = make_module(video_folder)
    shares = []
    for rank in (0, 1):
        module.trainer = SimpleNamespace(global_rank=rank, world_size=2, current_epoch=0)
        shares.append(statistics(module, 0, num_batches=200)[0])
    assert [len(share) for share in shares] == [2, 2]
    assert len({video for share in shares for batch in share for video in batch}) == 8


def test_views_of_a_video_differ_count_in_the_batch_and_take_one_opening(video_folder, monkeypatch):
    """Repeated augmentation: Hoffer et al. 2020; PySlowFast's AUG.NUM_SAMPLE."""
    opened = []

    class Reader(dataset.VideoReader):
        def __init__(self, path, **options):
            opened.append(path)
            super().__init__(path, **options)

    monkeypatch.setattr(dataset, "VideoReader", Reader)
    module = make_module(video_folder, clips_per_video=3)
    batch = next(iter(module.train_dataloader()))
    assert batch["views"].shape == (2, 3, 3, 4, 32, 32)
    assert batch["labels"].shape == (2, 3)
    assert len(opened) == len(set(opened)) == 2
    for views, labels in zip(batch["views"], batch["labels"], strict=True):
        assert len(set(labels.tolist())) == 1
        # Frames tell their numbers: the views are other clips, not only other crops.
        levels = [tuple(view[0, :, 0, 0].tolist()) for view in views]
        assert len(set(levels)) > 1
        assert not any(torch.equal(views[i], views[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_the_test_takes_as_many_videos_at_a_time_as_it_is_told(video_folder):
    module = make_module(video_folder, test_batch_size=2)
    batches = list(module.test_dataloader())
    assert [len(batch["video"]) for batch in batches] == [2]
    single = list(make_module(video_folder).test_dataloader())
    assert [len(batch["video"]) for batch in single] == [1, 1]
    assert torch.equal(batches[0]["views"], torch.cat([batch["views"] for batch in single]))


@pytest.mark.usefixtures("unchecked")  # a stand-in for the trainer
def test_a_limited_validation_or_test_is_of_the_first_videos(video_folder, tmp_path, monkeypatch):
    read = dataset._read_clips

    def slow_first(*args, **kwargs):
        # Of two workers, the one with the first video.
        with suppress(FileExistsError):
            (tmp_path / "first").mkdir()
            time.sleep(1)
        return read(*args, **kwargs)

    monkeypatch.setattr(dataset, "_read_clips", slow_first)
    module = make_module(video_folder, batch_size=1, num_workers=2)
    module.splits = replace(module.splits, val=module.splits.train, test=module.splits.train)
    module.trainer = SimpleNamespace(
        global_rank=0, world_size=1, current_epoch=0, limit_val_batches=1, limit_test_batches=1
    )
    for loader in (module.val_dataloader(), module.test_dataloader()):
        videos = [batch["video"].item() for batch, _ in zip(loader, range(4), strict=False)]
        assert videos == [0, 1, 2, 3]
        (tmp_path / "first").rmdir()


def test_epochs_of_before_keep_their_batches_where_lists_change(video_folder):
    module = make_module(video_folder)
    assert [module.num_batches(epoch) for epoch in range(3)] == [5, 5, 5]
    module.resume(2, 5, past=[9, 8])
    assert [module.num_batches(epoch) for epoch in range(4)] == [9, 8, 5, 5]
    with pytest.raises(
        ValueError, match=r"stopped after batch 6 of epoch 3, but .* the epoch has 5;"
    ):
        module.resume(2, 6, past=[9, 8])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a worker cannot tell who signals")
def test_workers_outlive_signals_of_others_and_obey_their_loader(video_folder):
    module = make_module(video_folder, transform=None)
    module.num_workers = 2
    undisturbed = [batch["video"].tolist() for batch in module.val_dataloader()]
    loader = iter(module.val_dataloader())
    seen = [next(loader)["video"].tolist()]
    workers = loader._workers
    for worker in workers:
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT):
            # Not from here: a signal of the parent is an order.
            os.spawnlp(os.P_WAIT, "sh", "sh", "-c", f"kill -{number} {worker.pid}")
    seen += [batch["video"].tolist() for batch in loader]
    assert seen == undisturbed
    for worker in workers:
        worker.terminate()
        worker.join(10)
    assert [worker.exitcode for worker in workers] == [0, 0]
