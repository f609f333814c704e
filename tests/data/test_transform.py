import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from gcvideo.data import (
    EvaluationProtocol,
    MMActionCrops,
    SlowFastCrops,
    SlowFastSampling,
    TrainTransform,
    evaluation_views,
)


def clip(num_frames=4, height=40, width=56):
    return np.random.default_rng(0).integers(0, 256, (num_frames, height, width, 3), np.uint8)


def protocol(**changes):
    given = {
        "name": "test",
        "sampling": SlowFastSampling(),
        "num_frames": 4,
        "sampling_rate": 2,
        "short_side": 40,
        "crop_size": 32,
        "val_crop_size": 32,
        "train_crop_size": 32,
    }
    return EvaluationProtocol(**(given | changes))


def test_same_seed_gives_the_same_view_and_another_seed_another():
    transform = TrainTransform([v2.RandomResize(40, 60), v2.RandomCrop(32)])
    views = [transform(clip(), 0, seed)[0] for seed in (1, 1, 2)]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


def test_a_transform_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    TrainTransform([v2.RandomCrop(32)])(clip(), 0, 7)
    assert torch.equal(before, torch.random.get_rng_state())


def test_all_frames_of_a_clip_share_one_draw():
    still = np.repeat(clip(1), 5, axis=0)
    steps = [v2.RandomResizedCrop(32, antialias=True), v2.RandAugment(), v2.ColorJitter(0.4, 0.4)]
    view, _ = TrainTransform(steps)(still, 0, 3)
    assert view.shape == (3, 5, 32, 32)
    assert view.dtype == torch.uint8
    assert torch.equal(view, view[:, :1].expand_as(view))


def test_without_steps_the_view_is_the_clip_channel_first():
    frames = clip()
    view, label = TrainTransform([], flip_prob=0.0)(frames, 3, 0)
    assert label == 3
    assert np.array_equal(view.numpy(), frames.transpose(3, 0, 1, 2))


def test_a_flip_mirrors_the_width_and_swaps_the_labels_that_it_exchanges():
    transform = TrainTransform([], flip_prob=1.0, swapped_labels={0: 1, 1: 0})
    frames = clip()
    for label, mirrored in ((0, 1), (1, 0), (2, 2)):
        view, got = transform(frames, label, 0)
        assert got == mirrored
        assert np.array_equal(view.numpy(), frames[:, :, ::-1].transpose(3, 0, 1, 2))


def test_a_flip_probability_outside_the_unit_interval_is_refused():
    with pytest.raises(ValueError, match=r"flip_prob is 1\.5; a probability lies in \[0, 1\]"):
        TrainTransform([], flip_prob=1.5)


def test_evaluation_views_are_temporal_major_windows_of_the_resized_frames():
    frames = clip(6)
    clips = np.array([[0, 1, 2, 3], [2, 3, 4, 5]])
    views = evaluation_views(frames, clips, protocol(num_clips=2, num_crops=3))
    assert views.shape == (6, 3, 4, 32, 32)
    for view, (which, x) in zip(views, [(c, x) for c in (0, 1) for x in (0, 12, 24)], strict=True):
        window = frames[clips[which], 4:36, x : x + 32]
        assert np.array_equal(view.numpy(), window.transpose(3, 0, 1, 2))


def test_frames_are_resized_to_the_short_side_keeping_the_aspect():
    views = evaluation_views(clip(4, 80, 112), np.array([[0, 1, 2, 3]]), protocol(num_crops=1))
    assert views.shape == (1, 3, 4, 32, 32)


@pytest.mark.parametrize(
    ("layout", "size", "wide", "tall"),
    [
        (SlowFastCrops(), 256, [(0, 0), (0, 43), (0, 85)], [(0, 0), (43, 0), (85, 0)]),
        (MMActionCrops(), 256, [(0, 0), (0, 84), (0, 42)], [(0, 0), (84, 0), (42, 0)]),
    ],
)
def test_crop_corners_follow_the_peers(layout, size, wide, tall):
    assert layout.corners(256, 341, size, 3) == wide
    assert layout.corners(341, 256, size, 3) == tall
    assert layout.corners(256, 341, size, 1) == [wide[1 if layout == SlowFastCrops() else 2]]


def test_a_single_view_keeps_everything_but_the_views():
    single = protocol(num_clips=10, num_crops=3, short_side=64, crop_size=64).single_view()
    assert (single.num_clips, single.num_crops, single.crop_size) == (1, 1, 32)
    assert single.short_side == 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_clips": 0}, "num_clips is 0; a test needs at least 1 clip"),
        ({"crop_size": 64}, "crop_size is 64 pixels, the short side 40; the crop must fit"),
        ({"val_crop_size": 50}, "val_crop_size is 50 pixels"),
    ],
)
def test_a_protocol_that_cannot_work_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        protocol(**changes)


def test_a_protocol_says_what_it_does():
    assert str(protocol(num_clips=2, num_crops=1)) == (
        "test: 2 clips x 1 crops of 4 x 32 x 32, sampling rate 2, head adaptive, average prob"
    )
