from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from corner_video import MATRICES, corner_picture, corners, shown_corners, write_corners
from small_protocol import make_protocol

from gcvideo.data import (
    EvaluationVideos,
    VideoDataModule,
    VideoReader,
    VideoSplits,
    annotated_videos,
    probe,
    read_views,
)
from gcvideo.data.video._checking import check_video
from gcvideo.data.video._frame_index import FrameIndex, index_video, write_index
from gcvideo.data.video._reencoding import reencode_video
from gcvideo.data.video._stream import stream_frames
from gcvideo.inference._overlay import annotate_video

PAL_WIDE = Fraction(16, 11)


@pytest.fixture
def anamorphic(tmp_path):
    return write_corners(tmp_path / "a.mp4", sample_aspect_ratio=PAL_WIDE)


def square_frame(path, short_side=None):
    with VideoReader(path, square_pixels=True) as reader:
        return reader.read([2], short_side=short_side)[0]


@pytest.mark.parametrize(
    ("size", "ratio", "shown"),
    [
        ((720, 576), PAL_WIDE, (1047, 576)),  # as players show PAL in 16:9
        ((720, 480), Fraction(8, 9), (640, 480)),  # NTSC in 4:3
        ((144, 108), Fraction(4, 3), (192, 108)),  # HDV, a tenth of it
        ((64, 48), Fraction(1), (64, 48)),
        ((64, 48), None, (64, 48)),
        ((64, 48), Fraction(1, 100), (64, 48)),  # no camera has such pixels
    ],
)
def test_the_stored_width_is_multiplied(tmp_path, size, ratio, shown):
    path = write_corners(tmp_path / "a.mp4", size=size, sample_aspect_ratio=ratio, num_frames=3)
    picture = square_frame(path)
    assert picture.shape[1::-1] == shown
    assert corners(picture) == "RGBK"
    with VideoReader(path) as reader:
        assert reader.read([2]).shape[2:0:-1] == size
        assert (reader.info.width, reader.info.height) == size


@pytest.mark.parametrize("name", MATRICES)
def test_the_stored_width_may_be_shown_as_height(tmp_path, name):
    path = write_corners(tmp_path / "a.mp4", MATRICES[name], sample_aspect_ratio=Fraction(2))
    picture = square_frame(path)
    assert sorted(picture.shape[:2]) == [48, 128]
    assert (picture.shape[0] == 128) == (MATRICES[name][0] == 0)
    assert corners(picture) == shown_corners(MATRICES[name])
    reencode_video(path, tmp_path / "new.mp4")
    again = square_frame(tmp_path / "new.mp4")
    # Of the same shape; where sides are swapped it is the width that shrinks.
    assert again.shape[0] * picture.shape[1] == again.shape[1] * picture.shape[0]
    assert corners(again) == corners(picture)


def test_the_short_side_is_that_of_square_pixels(tmp_path):
    path = write_corners(tmp_path / "a.mp4", sample_aspect_ratio=Fraction(1, 2))
    assert square_frame(path).shape[:2] == (48, 32)
    assert square_frame(path, short_side=16).shape[:2] == (24, 16)
    assert square_frame(path, short_side=17).shape[:2] == (48, 32)


def test_the_word_of_the_container_comes_first(tmp_path, anamorphic):
    content = anamorphic.read_bytes()
    start = content.index(b"pasp") + 4
    assert content[start : start + 8] == bytes([0, 0, 0, 16, 0, 0, 0, 11])
    anamorphic.write_bytes(content[:start] + bytes([0, 0, 0, 2, 0, 0, 0, 1]) + content[start + 8 :])
    assert square_frame(anamorphic).shape[:2] == (48, 128)


def test_streams_copies_and_indices_know_the_ratio(tmp_path, anamorphic):
    with stream_frames(str(anamorphic), square_pixels=True) as frames:
        assert {frame.shape for _, frame in frames} == {(48, 93, 3)}
    annotate_video(anamorphic, tmp_path / "drawn.mp4", lambda _: [], square_pixels=True)
    assert probe(tmp_path / "drawn.mp4").stored_size == (94, 48)  # even, as 4:2:0 needs it
    write_index(tmp_path / "index", [index_video("a.mp4", str(anamorphic))])
    timeline = FrameIndex(tmp_path / "index").find("a.mp4", str(anamorphic))
    with VideoReader(anamorphic, timeline=timeline, square_pixels=True) as reader:
        assert reader.info.sample_aspect_ratio == PAL_WIDE
        assert np.array_equal(reader.read([2])[0], square_frame(anamorphic))


def test_a_check_tells_the_ratio(anamorphic):
    found = check_video(str(anamorphic))
    assert (found.width, found.height, found.sample_aspect_ratio) == (64, 48, "16:11")
    assert found.remarks == "pixels of 16:11"


def test_the_views_of_a_protocol_are_square_where_it_says_so(anamorphic):
    protocol = make_protocol(num_crops=3)
    stored = read_views(str(anamorphic), protocol)
    square = read_views(str(anamorphic), replace(protocol, square_pixels=True))
    assert stored.shape == square.shape
    # The right crop of 48 pixels starts at 16 of 64, and at 45 of 93: behind the middle or before it.
    first_row = [views[-1, :, 0, 4].numpy().T for views in (stored, square)]
    reds = [int((row[:, 0] > row[:, 1]).sum()) for row in first_row]
    assert reds == pytest.approx([32 - 16, 46 - 45], abs=2)


def test_data_with_square_pixels_decides_for_all_loaders(tmp_path, anamorphic):
    for name in ("a", "b"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        write_corners(tmp_path / "videos" / name / "1.mp4", sample_aspect_ratio=PAL_WIDE)
    settings = {"root": str(tmp_path / "videos"), "test": str(tmp_path / "videos")}
    for square in (False, True):
        splits: VideoSplits = annotated_videos(**settings, square_pixels=square)
        data = VideoDataModule(splits, protocol=make_protocol(), num_workers=0)
        assert data.protocol.square_pixels == square
        videos = data.test_videos()
        assert isinstance(videos, EvaluationVideos)
        wanted = read_views(str(anamorphic), make_protocol(square_pixels=square))
        assert np.array_equal(videos[0]["views"], wanted)


def test_the_protocol_says_it_in_results():
    assert str(make_protocol(square_pixels=True)).endswith(", square pixels")
    assert "square" not in str(make_protocol())


def test_reencoded_copies_keep_the_word(tmp_path, anamorphic):
    reencode_video(anamorphic, tmp_path / "new.mp4", short_side=32)
    with av.open(str(tmp_path / "new.mp4")) as container:
        stream = container.streams.video[0]
        given = stream.sample_aspect_ratio
        assert given is not None
        assert Fraction(given.numerator, given.denominator) == PAL_WIDE
    assert corners(square_frame(tmp_path / "new.mp4")) == corners(corner_picture())
