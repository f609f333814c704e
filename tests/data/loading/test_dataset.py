import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from broken_files import UNREADABLE, damage_packet
from small_data import make_module, random_crop
from small_protocol import make_protocol

from gcvideo.data import (
    EpochBatchSampler,
    EpochSampler,
    EvaluationVideos,
    TrainingVideos,
    TrainTransform,
    annotated_videos,
    read_annotations,
    read_frames,
    write_video,
)


def test_training_items_are_a_pure_function_of_seed_epoch_video_and_view(video_folder):
    annotations = read_annotations(video_folder, root=video_folder)

    def item(seed, epoch, video, clips_per_video=2):
        return TrainingVideos(
            annotations,
            protocol=make_protocol(),
            transform=random_crop(),
            clips_per_video=clips_per_video,
            seed=seed,
        )[epoch, video]["views"]

    assert torch.equal(item(0, 3, 1), item(0, 3, 1))
    assert torch.equal(item(0, 3, 1)[0], item(0, 3, 1, clips_per_video=1)[0])
    for other in ((1, 3, 1), (0, 4, 1)):
        assert not torch.equal(item(0, 3, 1), item(*other))


def test_evaluation_views_show_the_frames_that_the_sampling_names(video_folder):
    annotations = read_annotations(video_folder, root=video_folder)
    protocol = make_protocol()
    item = EvaluationVideos(annotations, protocol=protocol)[2]
    clips = protocol.sampling.test(20, 30.0, protocol.spec, 2)
    assert item["labels"].tolist() == [0, 0]
    for view, indices in zip(item["views"], clips, strict=True):
        frames = read_frames(annotations.path(2), indices)
        assert np.array_equal(view.numpy(), frames[:, :, 8:56].transpose(3, 0, 1, 2))


def test_a_video_shorter_than_the_clip_repeats_frames(video_folder):
    annotations = read_annotations(video_folder, root=video_folder)
    protocol = make_protocol(num_frames=16, sampling_rate=8)
    assert EvaluationVideos(annotations, protocol=protocol)[0]["views"].shape[2] == 16
    training = TrainingVideos(annotations, protocol=protocol, transform=TrainTransform([]))
    assert training[0, 0]["views"].shape[2] == 16


@pytest.fixture(scope="module")
def partly_broken(video_folder, tmp_path_factory):
    """Splits of the class folders in which four videos cannot be read and one is damaged."""
    root = shutil.copytree(video_folder, tmp_path_factory.mktemp("broken") / "videos")
    splits = annotated_videos(root=str(root), max_bad_fraction=0.5)
    for breaking, video in zip((*UNREADABLE, damage_packet), (0, 2, 5, 7, 8), strict=True):
        breaking(Path(splits.train.path(video)))
    return splits


def shown(splits, num_workers, world_size=1):
    """Video, views and labels by the listed video that they stand for."""
    found = {}
    for rank in range(world_size):
        module = make_module(
            splits, batch_size=1, clips_per_video=2, num_workers=num_workers, seed=5
        )
        module.trainer = SimpleNamespace(global_rank=rank, world_size=world_size, current_epoch=0)
        loader = module.train_dataloader()
        loader.batch_sampler.sampler.set_epoch(2)
        for batch in loader:
            (video,) = batch["video"].tolist()
            slot = batch["problems"][0].video if batch["problems"] else video
            assert slot not in found
            found[slot] = (video, batch)
    return found


@pytest.mark.usefixtures("unchecked")  # a stand-in for the trainer
@pytest.mark.parametrize(("num_workers", "world_size"), [(1, 1), (2, 1), (0, 2), (1, 2)])
def test_clips_and_crops_depend_on_no_number_of_workers_or_ranks(
    partly_broken, num_workers, world_size
):
    expected = shown(partly_broken, 0)
    found = shown(partly_broken, num_workers, world_size)
    assert found.keys() == expected.keys() == set(range(10))
    for slot, (video, batch) in found.items():
        assert video == expected[slot][0]
        assert batch["problems"] == expected[slot][1]["problems"]
        for key in ("views", "labels"):
            assert torch.equal(batch[key], expected[slot][1][key])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_come_in_the_same_order_from_any_number_of_workers(partly_broken, num_workers):
    def videos():
        module = make_module(partly_broken, batch_size=3, num_workers=num_workers)
        return [batch["video"].tolist() for batch in module.train_dataloader()]

    order = np.random.default_rng([0, 0]).permutation(10)
    assert [len(batch) for batch in videos()] == [3, 3, 3]
    good = [video for batch in videos() for video in batch]
    assert [v == o for v, o in zip(good, order, strict=False)] == [
        o not in (0, 2, 5, 7) for o in order[:9]
    ]


def test_a_slow_video_does_not_hold_up_the_others_of_an_evaluation(video_folder, monkeypatch):
    read = EvaluationVideos.__getitem__

    def read_slowly(self, video):
        time.sleep(1.0 if video == 0 else 0.0)
        return read(self, video)

    monkeypatch.setattr(EvaluationVideos, "__getitem__", read_slowly)
    module = make_module(video_folder, num_workers=2)
    module.splits = annotated_videos(root=str(video_folder), test=str(video_folder))
    videos = [batch["video"].item() for batch in module.test_dataloader()]
    assert sorted(videos) == list(range(12))
    assert videos.index(0) > 2


def moving_pattern(scale):
    """Twelve frames of coarse waves, ``scale`` times 48 x 64 pixels."""
    y, x = np.mgrid[0 : 48 * scale, 0 : 64 * scale] / scale
    frames = [128 + 60 * np.sin((x + i) / 6) * np.cos(y / 7) for i in range(12)]
    return np.repeat(np.stack(frames)[..., None], 3, axis=-1).astype(np.uint8)


def test_large_sources_are_scaled_down_while_they_are_decoded(tmp_path):
    """Both kinds of data sets: views come close to those of a copy made at 1.25 x the short side."""
    sizes = []
    views = {}

    class Transform(TrainTransform):
        def __call__(self, clip, label, seed):
            sizes.append(clip.shape[1:3])
            return super().__call__(clip, label, seed)

    protocol = make_protocol(short_side=32, crop_size=32)
    assert protocol.decode_size.pixels == 40
    for scale in (1, 4):
        root = tmp_path / str(scale)
        for name in ("a", "b"):
            (root / name).mkdir(parents=True)
            write_video(root / name / "1.mp4", moving_pattern(scale), options={"crf": "10"})
        annotations = read_annotations(root, root=root)
        training = TrainingVideos(annotations, protocol=protocol, transform=Transform([]))
        training[0, 0]
        views[scale] = EvaluationVideos(annotations, protocol=protocol)[0]["views"]
    # 48 is less than twice 40: it stays.
    assert sizes == [(48, 64), (40, 53)]
    difference = (views[1].float() - views[4].float()).abs()
    assert 0 < difference.mean() < 3


def test_the_epoch_sampler_shuffles_by_seed_and_epoch_and_divides_over_ranks():
    def videos(epoch, rank=0, world_size=1, seed=0):
        sampler = EpochSampler(7, seed=seed, rank=rank, world_size=world_size)
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert len(keys) == len(sampler)
        assert {key[0] for key in keys} == {epoch}
        return [key[1] for key in keys]

    assert sorted(videos(0)) == list(range(7))
    assert videos(0) == videos(0)
    assert videos(0) != videos(1)
    assert videos(0) != videos(0, seed=1)
    shares = [videos(4, rank, 2) for rank in (0, 1)]
    assert [len(share) for share in shares] == [3, 3]
    assert len({*shares[0], *shares[1]}) == 6


@pytest.mark.parametrize("name", ["val_dataloader", "test_dataloader"])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_video_is_evaluated_once_over_all_ranks(video_folder, name, world_size):
    module, videos = make_module(video_folder), []
    for rank in range(world_size):
        module.trainer = SimpleNamespace(
            global_rank=rank, world_size=world_size, limit_test_batches=1.0
        )
        videos += getattr(module, name)().sampler
    assert sorted(videos) == list(range(len(module.splits.val)))


def test_more_ranks_than_videos_are_refused():
    with pytest.raises(ValueError, match="2 training videos for 3 processes; use fewer devices"):
        EpochSampler(2, world_size=3)


def test_validation_takes_one_view_and_the_test_all(video_folder):
    module = make_module(video_folder)
    assert next(iter(module.val_dataloader()))["views"].shape == (2, 1, 3, 4, 32, 32)
    assert next(iter(module.test_dataloader()))["views"].shape == (1, 2, 3, 4, 48, 48)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"test_batch_size": 0}, "test_batch_size is 0; it must be at least 1"),
        ({"batch_size": 50}, "batch_size is 50 but there are only 10 training videos"),
        ({"clips_per_video": 0}, "clips_per_video is 0; it must be at least 1"),
        ({"transform": None}, "training needs a transform"),
    ],
)
def test_loaders_that_cannot_work_are_refused(video_folder, changes, message):
    with pytest.raises(ValueError, match=message):
        make_module(video_folder, **changes).train_dataloader()


def test_a_resumed_epoch_goes_on_behind_the_batches_that_were_seen():
    def batches(epoch, resumed=None):
        sampler = EpochBatchSampler(EpochSampler(11, seed=3), 2)
        if resumed:
            sampler.resume(*resumed)
        sampler.sampler.set_epoch(epoch)
        assert len(sampler) == 5
        return list(sampler)

    assert len(batches(1)) == 5
    assert batches(1, resumed=(1, 3)) == batches(1)[3:]
    assert batches(2, resumed=(1, 3)) == batches(2)


@pytest.mark.parametrize("num_videos", [7, 8, 24])
def test_two_ranks_with_half_the_batch_see_the_batches_of_one(num_videos):
    def batches(batch_size, rank, world_size):
        sampler = EpochSampler(num_videos, seed=1, rank=rank, world_size=world_size)
        return list(EpochBatchSampler(sampler, batch_size))

    shares = [batches(2, rank, 2) for rank in (0, 1)]
    together = [{*a, *b} for a, b in zip(*shares, strict=True)]
    assert together == [set(batch) for batch in batches(4, 0, 1)]
