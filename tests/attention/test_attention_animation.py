import numpy as np
import pytest
import torch
from PIL import Image

from gcvideo.attention import _picture as picture_module
from gcvideo.attention._heat_map import HeatMap, draw_frames, draw_heat_map
from gcvideo.attention._picture import write_attention_animation
from gcvideo.data import probe, read_frames

TILE, GAP = 224, 8


def make_clip(num_frames=4, size=32):
    return torch.randint(0, 200, (3, num_frames, size, size), dtype=torch.uint8)


def make_maps(count, num_frames=4, caption="a map of a layer with a rather long name"):
    generator = np.random.default_rng(0)
    weights = generator.random((count, num_frames, 2, 2), np.float32)
    return [
        HeatMap(caption=caption, weights=w / w.sum(), uniform=1 / w.size, marked=(1, 0, 1))
        for w in weights
    ]


def shown(picture, place, num_columns, row_height=0):
    row, column = divmod(place, num_columns)
    y, x = GAP + row * row_height, GAP + column * (TILE + GAP)
    return np.asarray(picture)[y : y + TILE, x : x + TILE].astype(float)


@pytest.mark.parametrize(("fps", "seconds"), [(7.5, 4 / 7.5), (30.0, 4 / 30)])
def test_an_mp4_shows_frames_and_maps_side_by_side_at_the_pace_of_the_clip(tmp_path, fps, seconds):
    clip, maps, path = make_clip(), make_maps(2), tmp_path / "a.mp4"
    write_attention_animation(path, clip, maps, frames_per_second=fps)
    info = probe(path)
    assert info.num_frames == 4
    assert info.fps == pytest.approx(fps)
    assert info.num_frames / info.fps == pytest.approx(seconds)
    pictures = read_frames(path, range(4))
    assert pictures.shape[1] % 2 == pictures.shape[2] % 2 == 0
    tiles = [draw_frames(clip, TILE), *(draw_heat_map(clip, heat, TILE) for heat in maps)]
    for index, picture in enumerate(pictures):
        for place, tile in enumerate(tiles):
            # 4:2:0 blurs the colours of noise.
            error = np.abs(shown(picture, place, 3) - tile[index]).mean()
            other = np.abs(shown(picture, place, 3) - tile[index - 1]).mean()
            assert error < min(12, other / 2)


def test_a_gif_shows_the_same_and_repeats_for_ever(tmp_path):
    clip, maps, path = make_clip(), make_maps(2), tmp_path / "a.gif"
    write_attention_animation(path, clip, maps, frames_per_second=7.5)
    tiles = [draw_frames(clip, TILE), *(draw_heat_map(clip, heat, TILE) for heat in maps)]
    with Image.open(path) as image:
        assert image.n_frames == 4
        assert image.info["loop"] == 0
        for index in range(4):
            image.seek(index)
            assert image.info["duration"] == 130
            for place, tile in enumerate(tiles):
                error, other = (
                    np.abs(shown(image.convert("RGB"), place, 3) - tile[k]).mean()
                    for k in (index, index - 1)
                )
                # 256 colours are few for noise.
                assert error < min(20, other / 2)


def test_many_maps_stand_in_rows_of_at_most_five(tmp_path):
    write_attention_animation(
        tmp_path / "a.gif", make_clip(1), make_maps(8, 1), frames_per_second=1
    )
    with Image.open(tmp_path / "a.gif") as image:
        width, height = image.size
    assert width == 5 * (TILE + GAP) + GAP
    assert 2 * TILE < height < 3 * TILE + 2 * 100


def test_captions_are_broken_into_lines_and_never_cut(tmp_path):
    heights = []
    for caption in ("short", "x" * 400):
        maps = make_maps(1, 1, caption)
        pictures = picture_module._animated(make_clip(1), maps)
        heights.append(len(pictures[0]))
        assert (pictures[0][:, -GAP // 2 :] == 255).all()
        assert (pictures[0][-GAP // 2 :] == 255).all()
    assert heights[1] > heights[0] + 200


@pytest.mark.parametrize(
    ("name", "num_maps", "pace", "message"),
    [
        ("a.gif", 1, 0, "frames_per_second is 0; give the pace of the clip, above 0"),
        ("a.gif", 1, float("nan"), "frames_per_second is nan; give the pace"),
    ],
)
def test_what_cannot_be_animated_is_refused(tmp_path, name, num_maps, pace, message):
    with pytest.raises(ValueError, match=message):
        write_attention_animation(
            tmp_path / name, make_clip(), make_maps(num_maps), frames_per_second=pace
        )
    assert not list(tmp_path.iterdir())
