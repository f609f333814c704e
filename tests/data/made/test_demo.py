import numpy as np
import pytest

from gcvideo.data import VideoReader, demo_videos
from gcvideo.data.made._demo import render_motion

SMALL = {"train_per_class": 1, "val_per_class": 1, "num_frames": 8, "size": 32}


def rendered(motion, number, num_frames=3):
    random = np.random.default_rng(number)
    frames = render_motion(motion, random, num_frames=num_frames, size=48, shake=0.0)
    return frames.astype(float).mean(-1)


def shift_between(first, second, reach=5):
    """Displacement (down, right) in pixels that best carries the first image into the second."""
    centre = first[reach:-reach, reach:-reach]
    height, width = centre.shape
    errors = {
        (y, x): np.square(
            second[reach + y : reach + y + height, reach + x : reach + x + width] - centre
        ).mean()
        for y in range(-reach, reach + 1)
        for x in range(-reach, reach + 1)
    }
    return list(min(errors, key=errors.get))


@pytest.mark.parametrize(
    ("motion", "down", "right"),
    [("left", 0, -1), ("right", 0, 1), ("up", -1, 0), ("down", 1, 0)],
)
def test_textures_move_where_the_class_says(motion, down, right):
    for number in range(4):
        frames = rendered(motion, number)
        shift = shift_between(frames[0], frames[2])
        assert np.sign(shift).tolist() == [down, right]


def test_turning_and_growing_undo_their_opposites():
    """Frame k of a motion is frame n - 1 - k of its opposite with the same random numbers."""
    for motion, opposite in (("clockwise", "anticlockwise"), ("grow", "shrink"), ("left", "right")):
        assert np.allclose(rendered(motion, 1), rendered(opposite, 1)[::-1], atol=1)


def test_growing_lowers_the_spatial_frequency():
    def roughness(image):
        return np.abs(np.diff(image, axis=0)).mean() / image.std()

    frames = rendered("grow", 0, num_frames=16)
    assert roughness(frames[-1]) < 0.8 * roughness(frames[0])


def test_clockwise_turns_the_right_border_down():
    frames = rendered("clockwise", 2)
    right = [frame[12:36, 30:48] for frame in frames]
    assert shift_between(right[0], right[2])[0] > 0


def test_the_set_is_made_once_and_listed_by_class(tmp_path):
    splits = demo_videos(root=str(tmp_path), **SMALL)
    folder = next(tmp_path.iterdir())
    stamp = folder.stat().st_mtime_ns
    again = demo_videos(root=str(tmp_path), **SMALL)
    assert folder.stat().st_mtime_ns == stamp
    assert len(list(tmp_path.iterdir())) == 1
    assert splits.train.paths == again.train.paths
    assert (len(splits.train), len(splits.val), len(splits.classes)) == (8, 8, 8)
    with VideoReader(splits.train.path(0)) as reader:
        assert (reader.info.num_frames, reader.info.height) == (8, 32)
