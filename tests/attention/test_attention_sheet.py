import numpy as np
import pytest
import torch
from PIL import Image

from gcvideo.attention._heat_map import HeatMap, draw_frames, draw_heat_map
from gcvideo.attention._picture import write_attention_sheet

BAR, INK, GROUND = (64, 140, 220), (24, 24, 24), (255, 255, 255)


def make_clip(num_frames=4, size=32):
    return torch.randint(0, 200, (3, num_frames, size, size), dtype=torch.uint8)


def make_map(shares, caption="a map", grid=2):
    weights = np.asarray(shares, np.float32)[:, None, None] * np.ones((1, grid, grid), np.float32)
    weights /= weights.sum()
    return HeatMap(caption=caption, weights=weights, uniform=1 / weights.size)


def written(path, clip, maps, title="clip.mp4"):
    write_attention_sheet(path, clip, maps, title=title)
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


def corners(sheet, tile):
    """Where the sheet, whose colours are single numbers, shows exactly these pixels."""
    starts = np.argwhere(sheet == tile[0, 0]).tolist()
    height, width = tile.shape
    return [(y, x) for y, x in starts if np.array_equal(sheet[y : y + height, x : x + width], tile)]


def numbered(pictures):
    return pictures.astype(np.int32) @ np.array([1, 256, 256**2], np.int32)


@pytest.mark.parametrize(
    ("num_frames", "size", "tile"),
    [
        pytest.param(4, 32, 400, marks=pytest.mark.slow),
        (16, 112, 125),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ((8, 32, 259), (32, 224, 96))),
    ],
)
def test_every_map_has_a_row_and_every_frame_a_column(tmp_path, num_frames, size, tile):
    clip = make_clip(num_frames, size)
    maps = [make_map(torch.rand(count).tolist()) for count in (num_frames, num_frames // 2)]
    sheet = numbered(written(tmp_path / "sheet.png", clip, maps))
    drawn = [draw_frames(clip, tile), *(draw_heat_map(clip, heat, tile) for heat in maps)]
    rows = [numbered(row) for row in drawn]
    places = np.array([[corners(sheet, picture) for picture in row] for row in rows])
    assert places.shape == (3, num_frames, 1, 2)
    places = places[:, :, 0]
    assert (places[..., 0] == places[:, :1, 0]).all()
    assert (places[..., 1] == places[:1, :, 1]).all()
    assert (np.diff(places[:, 0, 0]) > tile).all()
    assert (np.diff(places[0, :, 1]) > tile).all()


def test_the_steps_of_the_curve_are_as_high_as_the_shares_and_as_wide_as_their_frames(tmp_path):
    shares = np.array([0.4, 0.2, 0.3, 0.1])
    sheet = written(tmp_path / "sheet.png", make_clip(8), [make_map(shares)])
    is_bar = (sheet == BAR).all(-1)
    heights = is_bar.sum(0)
    starts = np.flatnonzero(np.diff(np.flatnonzero(heights)) > 1)
    assert len(starts) == 3
    middles = [heights[8 + round((k + 0.5) * 2 * 267) - 2] for k in range(4)]
    # The dashed line at even shares may cover two rows.
    np.testing.assert_allclose(middles, 80 * shares / 0.4, atol=3)
    assert (heights > 0).sum() == pytest.approx(8 * 267, abs=60)


def test_the_curves_of_all_maps_have_one_scale(tmp_path):
    alone = written(tmp_path / "alone.png", make_clip(2), [make_map([0.5, 0.5])])
    beside = written(
        tmp_path / "beside.png", make_clip(2), [make_map([0.5, 0.5]), make_map([1.0, 0.0])]
    )
    full, half = (((sheet[:1180] == BAR).all(-1)).sum(0).max() for sheet in (alone, beside))
    assert full == pytest.approx(80, abs=2)
    assert half == pytest.approx(40, abs=2)


@pytest.mark.parametrize("num_frames", [1, 8])
def test_captions_and_scales_are_never_cut_off(tmp_path, num_frames):
    caption = "res4.5 non-local block (embedded_gaussian), query 1 in frame 3 at y=0.25 x=0.25 " * 2
    maps = [make_map(np.ones(num_frames), caption)]
    sheet = written(tmp_path / "sheet.png", make_clip(num_frames), maps, title="clip.mp4 " * 30)
    assert (sheet[:, -2:] != INK).any(-1).sum() > len(sheet)
    margin = sheet[: 2 * 42 + 400, -6:]
    assert (margin == GROUND).all()


def test_a_map_of_zeros_is_drawn_without_steps(tmp_path):
    empty = HeatMap(caption="nothing", weights=np.zeros((2, 2, 2), np.float32))
    sheet = written(tmp_path / "sheet.png", make_clip(2), [empty])
    assert not (sheet == BAR).all(-1).any()


@pytest.mark.parametrize(("num_frames", "inches"), [(4, 5.47), (16, 7.16), (32, 7.16)])
def test_a_sheet_is_light_and_as_wide_as_a_page_at_300_dpi_or_more(tmp_path, num_frames, inches):
    path = tmp_path / "sheet.png"
    sheet = written(path, make_clip(num_frames), [make_map(np.ones(num_frames))])
    with Image.open(path) as image:
        dpi = image.info["dpi"][0]
    assert dpi >= 299
    assert sheet.shape[1] / dpi == pytest.approx(inches, abs=0.08)
    assert (sheet == GROUND).all(-1).mean() > 0.1


@pytest.mark.parametrize(("suffix", "start"), [("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_a_sheet_is_written_as_its_suffix_says(tmp_path, suffix, start):
    path = tmp_path / f"sheet.{suffix}"
    write_attention_sheet(path, make_clip(20), [make_map(np.ones(20))], title="clip.mp4")
    assert path.read_bytes().startswith(start)
    assert list(tmp_path.iterdir()) == [path]
