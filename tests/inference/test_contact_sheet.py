import numpy as np
import pytest
import torch
from PIL import Image

from gcvideo.inference._contact_sheet import write_contact_sheet


def random_views(num_views=3, num_frames=4, size=24):
    return torch.randint(0, 256, (num_views, 3, num_frames, size, size), dtype=torch.uint8)


def corners(sheet, tile):
    """Where the sheet shows exactly these pixels."""
    windows = np.lib.stride_tricks.sliding_window_view(sheet, tile.shape)[:, :, 0]
    candidates = np.argwhere((windows[..., 0, 0, :] == tile[0, 0]).all(-1))
    return [(y, x) for y, x in candidates.tolist() if np.array_equal(windows[y, x], tile)]


def written(path, views, **arguments):
    write_contact_sheet(path, views, **arguments)
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


def place_of_every_frame(sheet, views):
    places = []
    for frames in views.permute(0, 2, 3, 4, 1).numpy():
        found = [corners(sheet, frame) for frame in frames]
        assert all(len(places) == 1 for places in found)
        places.append([place for (place,) in found])
    return np.array(places)


@pytest.mark.parametrize("captions", [None, ["clip 0, left", "clip 0, centre", "a long one " * 20]])
def test_every_frame_stands_in_its_row_and_column_pixel_by_pixel(tmp_path, captions):
    views = random_views()
    sheet = written(tmp_path / "sheet.png", views, captions=captions)
    places = place_of_every_frame(sheet, views)
    assert (places[..., 0] == places[:, :1, 0]).all()
    assert (places[..., 1] == places[:1, :, 1]).all()
    assert (np.diff(places[:, 0, 0]) >= 24).all()
    assert (np.diff(places[0, :, 1]) >= 24).all()


def test_a_caption_changes_only_the_space_above_its_row(tmp_path):
    views = random_views(num_views=2)
    blank, said = (
        written(tmp_path / f"sheet_{text}.png", views, captions=["", text])
        for text in ("", "clip 1")
    )
    tops = place_of_every_frame(blank, views)[:, 0, 0]
    changed = np.flatnonzero((blank != said).any((1, 2)))
    assert len(changed) > 5
    assert changed.min() >= tops[0] + 24
    assert changed.max() < tops[1]


def test_a_caption_is_never_cut_off(tmp_path):
    views, text = random_views(1, 1, 8), "clip 0, centre: frames 12 20 28"
    narrow = written(tmp_path / "narrow.png", views, captions=[text])
    wide = written(tmp_path / "wide.png", views.expand(1, 3, 60, 8, 8), captions=[text])
    ink = [np.argwhere((sheet[:20] == 255).all(-1)) for sheet in (narrow, wide)]
    np.testing.assert_array_equal(*ink)


def test_larger_frames_are_scaled_down_by_the_mean(tmp_path):
    views = random_views(size=24)
    sheet = written(tmp_path / "sheet.png", views, max_frame_size=12)
    kept = written(tmp_path / "kept.png", views, max_frame_size=24)
    assert sheet.shape[0] < kept.shape[0]
    place_of_every_frame(kept, views)
    means = torch.nn.functional.avg_pool2d(views.flatten(0, 1).float(), 2)
    first = means.view(3, 3, 4, 12, 12)[0, :, 0].permute(1, 2, 0).numpy()
    assert np.abs(sheet[2:14, 2:14] - first).max() <= 1


@pytest.mark.parametrize(
    ("name", "views", "arguments", "message"),
    [
        (
            "a.jpg",
            random_views(),
            {},
            r"a contact sheet is a PNG, but the path is '.*a\.jpg'; give",
        ),
        ("a.png", random_views(num_frames=0), {}, r"\(3, 3, 0, 24, 24\) contain no frame; pass"),
        (
            "a.png",
            random_views(),
            {"captions": ["one"]},
            "1 captions for 3 views; pass one for each",
        ),
        ("a.png", random_views(), {"max_frame_size": 0}, "max_frame_size is 0; allow at least 1"),
    ],
)
def test_what_cannot_be_shown_is_refused(tmp_path, name, views, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_contact_sheet(tmp_path / name, views, **arguments)
    assert not list(tmp_path.iterdir())
