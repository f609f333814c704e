import numpy as np
import pytest
import torch
from matplotlib import colormaps

from gcvideo.attention._heat_map import (
    HeatMap,
    cell_of_frames,
    draw_colour_scale,
    draw_frames,
    draw_heat_map,
)

SIZE = 64


def heat_map(weights, **arguments):
    return HeatMap(caption="a map", weights=np.asarray(weights, np.float32), **arguments)


def grey_clip(level=120, num_frames=4, size=32):
    return torch.full((3, num_frames, size, size), level, dtype=torch.uint8)


def blended(level, name, part):
    """Half the grey of the frame, half the colour at a place of a colour map, in levels."""
    return 0.5 * level + 0.5 * 255 * np.array(colormaps[name](part)[:3])


def test_a_uniform_map_has_one_colour_and_not_the_last():
    even = heat_map(np.full((4, 2, 2), 1 / 16), uniform=1 / 16)
    drawn = draw_heat_map(grey_clip(), even, SIZE)
    assert (drawn == drawn[0, 0, 0]).all()
    np.testing.assert_allclose(drawn[0, 0, 0], blended(120, "inferno", 0.5), atol=2)


def test_small_differences_from_uniform_stay_small():
    noise = 1 + 0.02 * np.random.default_rng(0).uniform(-1, 1, (4, 7, 7))
    drawn = draw_heat_map(grey_clip(), heat_map(noise / 196, uniform=1 / 196), SIZE).astype(int)
    assert np.ptp(drawn, axis=(0, 1, 2)).max() <= 6


def test_the_colours_begin_at_zero_and_end_at_the_largest_weight():
    weights = np.zeros((4, 2, 2))
    weights[2, 0, 1] = 0.4
    drawn = draw_heat_map(grey_clip(), heat_map(weights, uniform=0.1), SIZE)
    np.testing.assert_allclose(drawn[2, 0, -1], blended(120, "inferno", 1.0), atol=2)
    np.testing.assert_allclose(drawn[2, -1, 0], blended(120, "inferno", 0.0), atol=2)
    assert (drawn[:2] == drawn[0, 0, 0]).all()
    # Bilinear: never outside of the cells' range, and in the middle of four the mean.
    np.testing.assert_allclose(drawn[2, 31, 32], blended(120, "inferno", 0.25), atol=4)


def test_signed_weights_have_colours_about_zero():
    weights = np.zeros((1, 1, 3))
    weights[0, 0] = [-0.5, 0, 0.25]
    drawn = draw_heat_map(grey_clip(), heat_map(weights, is_signed=True), 96)
    for column, part in ((0, 0.0), (48, 0.5), (95, 0.75)):
        np.testing.assert_allclose(drawn[0, 0, column], blended(120, "coolwarm", part), atol=3)


@pytest.mark.parametrize(
    ("weights", "arguments", "text"),
    [
        ([0.32, 0.1], {"uniform": 0.1}, "max = 3.2 x uniform (colours 0 to 3.2)"),
        ([0.1, 0.1], {"uniform": 0.1}, "max = 1.0 x uniform (colours 0 to 2.0)"),
        ([0.0123, 0.0], {}, "max = 0.012 (colours 0 to 0.012)"),
        ([-0.5, 0.25], {"is_signed": True}, "-0.5 to 0.25 (colours -0.5 to 0.5)"),
        ([0.0, 0.0], {}, "max = 0 (colours 0 to 1)"),
    ],
)
def test_the_range_is_stated_in_words(weights, arguments, text):
    assert heat_map([[weights]], **arguments).range_text == text


def test_the_frame_stays_visible_under_the_colours():
    even = heat_map(np.full((4, 2, 2), 1 / 16), uniform=1 / 16)
    light, dark = (draw_heat_map(grey_clip(level), even, SIZE).astype(int) for level in (220, 20))
    np.testing.assert_allclose(light - dark, 100, atol=1)


def test_a_cell_in_time_covers_the_frames_it_stands_for():
    assert cell_of_frames(8, 8).tolist() == list(range(8))
    assert cell_of_frames(8, 4).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert cell_of_frames(5, 2).tolist() == [0, 0, 0, 1, 1]
    weights = np.arange(2)[:, None, None] * np.ones((2, 2, 2))
    drawn = draw_heat_map(grey_clip(), heat_map(weights), SIZE)
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[2] == drawn[3]).all()
    assert (drawn[1] != drawn[2]).any()


def test_a_marked_cell_is_framed_in_its_frames_alone():
    weights = np.full((2, 4, 2), 1 / 16)
    plain, marked = (
        draw_heat_map(grey_clip(), heat_map(weights, uniform=1 / 16, marked=cell), SIZE)
        for cell in (None, (1, 2, 0))
    )
    changed = (plain != marked).any(-1)
    assert not changed[:2].any()
    rows, columns = (np.flatnonzero(changed[2:].any((0, axis))) for axis in (2, 1))
    assert (rows.min(), rows.max()) == (31, 48)
    assert (columns.min(), columns.max()) == (0, 32)
    assert not changed[2:, 36:44, 4:28].any()
    assert (marked[2, 32, 5:20] == 255).all()


@pytest.mark.parametrize("cell", [(0, 0, 0), (0, 30, 17), (0, 55, 55)])
def test_a_cell_of_a_few_pixels_has_a_frame_that_can_be_seen_and_lies_in_the_picture(cell):
    weights = np.full((1, 56, 56), 1 / 56**2)
    drawn = draw_heat_map(grey_clip(), heat_map(weights, uniform=1 / 56**2, marked=cell), 72)
    white = np.argwhere((drawn[0] == 255).all(-1))
    assert (np.ptp(white, axis=0) == 7).all()
    middle = (np.array(cell[1:]) + 0.5) * 72 / 56
    np.testing.assert_allclose(white.mean(0) + 0.5, middle.clip(4, 68), atol=1)


def test_the_scale_shows_the_colours_of_the_map():
    scale = draw_colour_scale(heat_map(np.ones((1, 1, 1))), 11, 3)
    assert scale.shape == (3, 11, 3)
    assert (scale == scale[:1]).all()
    np.testing.assert_allclose(scale[0, 5], 255 * np.array(colormaps["inferno"](0.5)[:3]), atol=1)
    signed = draw_colour_scale(heat_map(np.ones((1, 1, 1)), is_signed=True), 11, 3)
    np.testing.assert_allclose(signed[0, 0], 255 * np.array(colormaps["coolwarm"](0.0)[:3]), atol=1)


def test_a_frame_of_the_size_asked_for_keeps_its_pixels():
    clip = torch.randint(0, 256, (3, 2, 24, 24), dtype=torch.uint8)
    np.testing.assert_array_equal(draw_frames(clip, 24), clip.permute(1, 2, 3, 0).numpy())
    assert draw_frames(clip, 60).shape == (2, 60, 60, 3)
    assert draw_frames(clip, 10).shape == (2, 10, 10, 3)
