import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from broken_files import damage_packet
from small_data import make_module, random_crop
from small_protocol import make_protocol

from gcvideo.data import EvaluationVideos, EvenSampling, TrainingVideos, read_annotations
from gcvideo.data.loading._frame_cache import FrameCache

EVEN = make_protocol(sampling=EvenSampling())


@pytest.fixture
def own_folder(video_folder, tmp_path):
    """Class folders whose files a test may remove."""
    return shutil.copytree(video_folder, tmp_path / "videos")


def views(videos, epochs):
    return [videos[epoch, video]["views"] for epoch in epochs for video in range(len(videos))]


def equal(some, others):
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def training(folder, protocol, cache=None, **options):
    annotations = read_annotations(folder, root=folder)
    return TrainingVideos(
        annotations, protocol=protocol, transform=random_crop(), cache=cache, **options
    )


@pytest.mark.parametrize("protocol", [EVEN, make_protocol(num_frames=8)])
@pytest.mark.parametrize("clips_per_video", [1, 2])
def test_views_are_those_of_the_files(video_folder, protocol, clips_per_video):
    without, cached = (
        training(video_folder, protocol, cache, clips_per_video=clips_per_video)
        for cache in (None, FrameCache(10**9))
    )
    assert equal(views(without, range(6)), views(cached, range(6)))


def test_a_second_epoch_reads_no_file(own_folder):
    cache = FrameCache(10**9)
    videos = training(own_folder, EVEN, cache)
    expected = views(training(own_folder, EVEN), [1])
    views(videos, [0])
    shutil.rmtree(own_folder)
    assert equal(views(videos, [1]), expected)


def test_validation_and_training_share_frames_of_one_size_only(own_folder):
    cache = FrameCache(10**9)
    annotations = read_annotations(own_folder, root=own_folder)
    small = replace(EVEN, short_side=16, crop_size=16, val_crop_size=16)
    expected = EvaluationVideos(annotations, protocol=small)[0]["views"]
    training(own_folder, EVEN, cache)[0, 0]
    shown = EvaluationVideos(annotations, protocol=small, cache=cache)[0]["views"]
    assert torch.equal(shown, expected)


def test_frames_are_kept_up_to_the_limit_and_the_others_read(video_folder):
    frame_bytes = 48 * 64 * 3
    cache = FrameCache(EVEN.num_frames * frame_bytes * 5 // 2)  # two videos and a half
    videos = training(video_folder, EVEN, cache)
    assert equal(views(videos, [0, 1]), views(training(video_folder, EVEN), [0, 1]))
    assert cache.num_bytes == 2 * EVEN.num_frames * frame_bytes


def test_a_damaged_video_is_read_from_its_file_in_every_epoch(own_folder):
    annotations = read_annotations(own_folder, root=own_folder)
    damage_packet(Path(annotations.path(3)))
    whole = make_protocol(num_frames=20, sampling_rate=1)
    cached, without = training(own_folder, whole, FrameCache(10**9)), training(own_folder, whole)
    for epoch in (0, 1):
        item, expected = cached[epoch, 3], without[epoch, 3]
        assert item["problems"] == expected["problems"] != ()
        assert torch.equal(item["views"], expected["views"])


def test_loaders_give_the_same_batches_without_files(own_folder):
    options = {"protocol": EVEN, "seed": 3}
    cached = make_module(own_folder, frame_cache_gb=0.1, num_workers=None, **options)
    expected = make_module(own_folder, **options)

    def shown(module):
        loaders = module.train_dataloader(), module.val_dataloader()
        return [batch["views"] for loader in loaders for batch in loader]

    before = shown(expected)
    assert equal(shown(cached), before)
    shutil.rmtree(own_folder)
    assert equal(shown(cached), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame_cache_gb": -1}, "frame_cache_gb is -1; it must be 0"),
        ({"frame_cache_gb": 1, "num_workers": 2}, "num_workers is 2, but each worker"),
    ],
)
def test_bad_options_are_named(video_folder, options, message):
    with pytest.raises(ValueError, match=message):
        make_module(video_folder, **options)


def test_a_cache_needs_room():
    with pytest.raises(ValueError, match="limit_bytes is 0; it must be above 0"):
        FrameCache(0)
