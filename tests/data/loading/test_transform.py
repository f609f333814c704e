from functools import partial

import numpy as np
import pytest
import torch
from small_protocol import make_protocol
from torchvision.transforms import v2

from gcvideo.data import (
    MMActionCrops,
    MMActionResizing,
    NonLocalCrops,
    NonLocalResizing,
    ShortSideResize,
    SlowFastCrops,
    SlowFastReaderResizing,
    SlowFastResizing,
    TorchvisionResizing,
    TrainTransform,
    evaluation_views,
)
from gcvideo.data.loading._transform import resize_frames


def clip(num_frames=4, height=40, width=56):
    return np.random.default_rng(0).integers(0, 256, (num_frames, height, width, 3), np.uint8)


protocol = partial(make_protocol, num_crops=3, short_side=40, crop_size=32)


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


# Sizes and windows that the peers' own code gives, for frames of (height, width): PySlowFast's
# random_short_side_scale_jitter and uniform_crop at 287ec00, which PyTorchVideo 0.1.5 shares, torchvision's
# setFormatDimensions, mmcv's rescale_size with mmaction2's ThreeCrop at 4d6c934, and ScaleTransform with
# ClipTransformFlex of video-nonlocal-net at c253ed5.
PEERS = {
    "slowfast_pyav": (SlowFastResizing(), SlowFastCrops()),
    "slowfast": (SlowFastReaderResizing(), SlowFastCrops()),
    "mmaction": (MMActionResizing(), MMActionCrops()),
    "nonlocal": (NonLocalResizing(), NonLocalCrops()),
}


@pytest.mark.parametrize(
    ("peer", "frame", "short_side", "size", "windows"),
    [
        ("slowfast_pyav", (288, 352), 256, (256, 312), [(0, 0), (0, 28), (0, 56)]),
        ("slowfast_pyav", (176, 144), 256, (312, 256), [(0, 0), (28, 0), (56, 0)]),
        ("slowfast_pyav", (360, 641), 256, (256, 455), [(0, 0), (0, 100), (0, 199)]),
        ("slowfast_pyav", (61, 115), 112, (112, 211), [(0, 0), (0, 50), (0, 99)]),
        ("slowfast_pyav", (325, 320), 224, (227, 224), [(0, 0), (2, 0), (3, 0)]),
        ("slowfast", (288, 352), 256, (256, 313), [(0, 0), (0, 29), (0, 57)]),
        ("slowfast", (176, 144), 256, (313, 256), [(0, 0), (29, 0), (57, 0)]),
        ("slowfast", (360, 641), 256, (256, 456), [(0, 0), (0, 100), (0, 200)]),
        ("slowfast", (61, 115), 112, (112, 211), [(0, 0), (0, 50), (0, 99)]),
        ("slowfast", (325, 320), 224, (228, 224), [(0, 0), (2, 0), (4, 0)]),
        ("mmaction", (288, 352), 256, (256, 313), [(0, 0), (0, 56), (0, 28)]),
        ("mmaction", (176, 144), 256, (313, 256), [(0, 0), (56, 0), (28, 0)]),
        ("mmaction", (360, 641), 256, (256, 456), [(0, 0), (0, 200), (0, 100)]),
        ("mmaction", (61, 115), 112, (112, 211), [(0, 0), (0, 98), (0, 49)]),
        ("mmaction", (325, 320), 224, (227, 224), [(0, 0), (2, 0), (1, 0)]),
        ("nonlocal", (288, 352), 256, (256, 312), [(0, 0), (0, 28), (0, 56)]),
        ("nonlocal", (176, 144), 256, (312, 256), [(0, 0), (28, 0), (56, 0)]),
        ("nonlocal", (360, 641), 256, (256, 455), [(0, 0), (0, 99), (0, 198)]),
        ("nonlocal", (61, 115), 112, (112, 211), [(0, 0), (0, 49), (0, 98)]),
        ("nonlocal", (325, 320), 224, (227, 224), [(0, 0), (1, 0), (2, 0)]),
    ],
)
def test_windows_are_those_of_the_peers_own_code(peer, frame, short_side, size, windows):
    resizing, crops = PEERS[peer]
    made = protocol(
        resizing=resizing, crops=crops, short_side=short_side, crop_size=short_side, num_crops=3
    )
    assert made.frame_size(*frame) == size
    assert [window[:2] for window in made.windows(*size)] == windows
    assert not any(window.is_mirrored for window in made.windows(*size))


@pytest.mark.parametrize(
    ("crops", "wide", "tall"),
    [
        (SlowFastCrops(), (17, 59), (59, 17)),
        (MMActionCrops(), (16, 58), (58, 16)),
        (NonLocalCrops(), (16, 58), (58, 16)),
    ],
)
def test_one_crop_is_the_centre(crops, wide, tall):
    assert crops.corners(257, 341, 224, 1) == [(*wide, False)]
    assert crops.corners(341, 257, 224, 1) == [(*tall, False)]


def test_ten_crops_of_mmaction2_are_corners_and_centre_each_mirrored_too():
    """mmaction2's own TenCrop at 4d6c934, of 224 pixels from 256 x 341."""
    places = [(0, 0), (0, 116), (32, 0), (32, 116), (16, 58)]
    expected = [(*place, mirrored) for place in places for mirrored in (False, True)]
    assert MMActionCrops().corners(256, 341, 224, 10) == expected
    frames, clips = clip(4), np.array([[0, 1, 2, 3]])
    ten = protocol(crops=MMActionCrops(), num_crops=10)
    views = evaluation_views(frames, clips, ten).numpy()
    for view, (y, x, is_mirrored) in zip(views, ten.windows(40, 56), strict=True):
        window = frames[:, y : y + 32, x : x + 32].transpose(3, 0, 1, 2)
        assert np.array_equal(view, window[..., ::-1] if is_mirrored else window)


@pytest.mark.parametrize("crops", [SlowFastCrops(), NonLocalCrops(), MMActionCrops()])
def test_numbers_of_crops_that_a_protocol_lacks_are_refused(crops):
    num_crops = 5 if crops == MMActionCrops() else 10
    with pytest.raises(ValueError, match=rf"num_crops is {num_crops}, which .* choose 1.* or "):
        protocol(crops=crops, num_crops=num_crops)


@pytest.mark.parametrize(
    "resizing",
    [*(resizing for resizing, _ in PEERS.values()), TorchvisionResizing()],
    ids=lambda r: type(r).__name__,
)
def test_a_long_side_is_within_a_pixel_of_the_exact_one_and_a_short_side_exact(resizing):
    for height, width in ((37, 61), (61, 37), (288, 352), (1080, 1920), (256, 256), (113, 997)):
        for short_side in (256, 224, 112, 72):
            size = protocol(resizing=resizing, short_side=short_side).frame_size(height, width)
            assert min(size) == short_side
            exact = short_side * max(height, width) / min(height, width)
            assert abs(max(size) - exact) < 1
            assert (size[0] > size[1]) == (height > width)


@pytest.mark.parametrize(
    "resizing",
    [*(resizing for resizing, _ in PEERS.values()), TorchvisionResizing()],
    ids=lambda r: type(r).__name__,
)
def test_sources_that_shrink_while_they_are_decoded_end_with_the_size_of_others(resizing):
    """Through 320 pixels, mmaction2's 341 of 1440 x 1080 would become 342 by rounding twice."""
    for short_side in (256, 224, 72):
        made = protocol(resizing=resizing, short_side=short_side)
        for height, width in (
            (1080, 1440),
            (1440, 1080),
            (1088, 1920),
            (1080, 2048),
            (641, 999),
            (720, 720),
        ):
            decoded = made.decode_size.scaled(width, height)[::-1]
            assert made.frame_size(*decoded) == made.frame_size(height, width)
            assert min(decoded) == made.decode_size.pixels == round(1.25 * short_side)
            exact = round(max(height, width) * min(decoded) / min(height, width))
            assert abs(max(decoded) - exact) <= 1
        small = (2 * made.decode_size.pixels - 1, 2000)
        assert made.decode_size.scaled(*small) == small


def test_the_resizing_of_old_checkpoints_is_that_of_torchvision():
    frames = torch.from_numpy(clip(1, 45, 61)).permute(0, 3, 1, 2)
    for short_side in (40, 90):
        made = protocol(short_side=short_side)
        assert made.resizing == TorchvisionResizing()
        expected = v2.functional.resize(frames, [short_side], antialias=False)
        assert torch.equal(resize_frames(frames, made), expected)


def test_training_resizes_as_the_test_does():
    video = torch.from_numpy(clip(2, 45, 64)).permute(0, 3, 1, 2)
    for size, resizing in ((56, TorchvisionResizing()), (57, MMActionResizing())):
        assert ShortSideResize(40, resizing=resizing)(video).shape[2:] == (40, size)
        assert protocol(resizing=resizing).frame_size(45, 64) == (40, size)
    step, reference = (
        ShortSideResize(40, 60, resizing=TorchvisionResizing()),
        v2.RandomResize(40, 60),
    )
    reference.antialias = False
    for seed in range(5):
        torch.manual_seed(seed)
        drawn = step(video)
        torch.manual_seed(seed)
        assert torch.equal(drawn, reference(video))
    assert ShortSideResize(50, 50, resizing=TorchvisionResizing())(video).shape[2] == 50
    with pytest.raises(ValueError, match="max_size is 39, below min_size of 40; give at least 40"):
        ShortSideResize(40, 39, resizing=TorchvisionResizing())


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
        (
            {"num_frames": 1, "normalization": "motion"},
            "a single frame does not move; raise num_frames or set normalization=constants",
        ),
    ],
)
def test_a_protocol_that_cannot_work_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        protocol(**changes)


def test_a_protocol_says_what_it_does():
    assert str(protocol(num_clips=2, num_crops=1)) == (
        "test: 2 clips x 1 crops of 4 x 32 x 32, sampling rate 2, head adaptive, average prob"
    )
