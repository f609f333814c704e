import io
from fractions import Fraction

import av
import numpy as np
import pytest
from corner_video import MATRICES, corner_picture, corners, shown_corners, write_corners
from PIL import Image, ImageOps
from small_protocol import make_protocol

from gcvideo.data import read_views
from gcvideo.data.video._checking import check_video
from gcvideo.data.video._decoding import VideoReader, probe, read_frames
from gcvideo.data.video._frame_index import FrameIndex, index_video, write_index
from gcvideo.data.video._orientation import AS_STORED, Orientation
from gcvideo.data.video._reencoding import reencode_video
from gcvideo.data.video._stream import stream_frames
from gcvideo.inference._overlay import annotate_video

BY_NAME = pytest.mark.parametrize("name", MATRICES)


def padded(matrix):
    a, b, c, d = (round(65536 * number) for number in matrix)
    return [a, b, 0, c, d, 0, 0, 0, 1 << 30]


@BY_NAME
def test_a_picture_is_laid_out_as_geometry_asks(name):
    orientation = Orientation.of_matrix(padded(MATRICES[name]))
    shown = orientation.apply(corner_picture())
    assert corners(shown) == shown_corners(MATRICES[name])
    assert shown.shape[:2] == ((64, 48) if orientation.swaps_sides else (48, 64))


def test_the_eight_orientations_are_all_different():
    found = {Orientation.of_matrix(padded(matrix)) for matrix in MATRICES.values()}
    assert found == {
        Orientation(turns, mirrored) for turns in range(4) for mirrored in (False, True)
    }


@BY_NAME
@pytest.mark.parametrize("degrees", [-40, -1, 1, 44])
@pytest.mark.parametrize("scale", [0.001, 1, 30])
def test_other_angles_and_scales_go_to_the_nearest(name, degrees, scale):
    a, b, c, d = MATRICES[name]
    cos, sin = scale * np.cos(np.deg2rad(degrees)), scale * np.sin(np.deg2rad(degrees))
    turned = (a * cos - b * sin, a * sin + b * cos, c * cos - d * sin, c * sin + d * cos)
    wanted = Orientation.of_matrix(padded(MATRICES[name]))
    assert Orientation.of_matrix(padded(turned)) == wanted


@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (-1, 0, 0, 0), (0, 1, 0, 0), (-1, -1, -1, -1)])
def test_a_matrix_without_inverse_turns_nothing(matrix):
    assert Orientation.of_matrix(padded(matrix)) == AS_STORED


def test_an_orientation_says_what_it_does():
    assert str(Orientation(1, True)) == "mirrored and turned by 90 degrees"
    assert str(Orientation(2)) == "turned by 180 degrees"
    assert str(Orientation(0, True)) == "mirrored"
    assert str(AS_STORED) == "as stored"


@BY_NAME
def test_every_path_shows_the_same(tmp_path, name):
    path, wanted = write_corners(tmp_path / "a.mp4", MATRICES[name]), shown_corners(MATRICES[name])
    size = (48, 64) if MATRICES[name][0] == 0 else (64, 48)  # width, height
    with VideoReader(path) as reader:
        whole, small = reader.read([4])[0], reader.read([4], short_side=16)[0]
        assert (reader.info.width, reader.info.height) == size
    assert (corners(whole), whole.shape[1::-1]) == (wanted, size)
    assert corners(small) == wanted
    assert min(small.shape[:2]) == 16

    # What training, tests and contact sheets show.
    view = read_views(str(path), make_protocol())[0, :, 0]
    assert corners(view.permute(1, 2, 0).numpy()) == wanted

    reencode_video(path, tmp_path / "new.mp4")
    new = probe(tmp_path / "new.mp4")
    assert (new.orientation, new.width, new.height) == (AS_STORED, *size)
    assert corners(read_frames(tmp_path / "new.mp4", [4])[0]) == wanted

    with stream_frames(str(path)) as frames:
        assert {corners(frame) for _, frame in frames} == {wanted}
    annotate_video(path, tmp_path / "drawn.mp4", lambda _: [])
    assert corners(read_frames(tmp_path / "drawn.mp4", [4])[0]) == wanted

    found = check_video(str(path))
    assert (found.status, found.width, found.height) == ("ok", *size)
    assert found.remarks.startswith("shown ") == (name != "identity")


@BY_NAME
def test_an_index_keeps_the_orientation(tmp_path, name):
    path = write_corners(tmp_path / "a.mp4", MATRICES[name])
    write_index(tmp_path / "index", [index_video("a.mp4", str(path))])
    timeline = FrameIndex(tmp_path / "index").find("a.mp4", str(path))
    assert timeline is not None
    assert timeline.info == probe(path)
    with VideoReader(path, timeline=timeline) as reader:
        assert corners(reader.read([4])[0]) == shown_corners(MATRICES[name])


@BY_NAME
@pytest.mark.parametrize("size", [(63, 47), (64, 47), (35, 21)])
def test_odd_sizes_reencode_as_they_are_read(tmp_path, name, size):
    path = write_corners(tmp_path / "a.mp4", MATRICES[name], size=size, pix_fmt="yuv444p")
    reencode_video(path, tmp_path / "new.mp4")
    assert corners(read_frames(tmp_path / "new.mp4", [0])[0]) == shown_corners(MATRICES[name])


@BY_NAME
def test_chroma_stays_with_its_luma(tmp_path, name):
    path = write_corners(tmp_path / "a.mp4", MATRICES[name])
    reencode_video(path, tmp_path / "new.mp4", crf=1)
    before, after = (read_frames(p, [0])[0].astype(int) for p in (path, tmp_path / "new.mp4"))
    # A shift by one pixel would change the columns beside the borders by more than 100.
    assert np.abs(before - after).max() < 16


@pytest.mark.parametrize(
    ("flags", "matrix"),
    [
        ("rotate=90", "counterclockwise"),
        ("flip=horizontal", "left to right"),
        ("flip=vertical", "upside down"),
    ],
)
def test_orientation_within_the_stream_counts(tmp_path, flags, matrix):
    path = tmp_path / "a.h264"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"qp": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        insert = f"h264_metadata=display_orientation=insert:{flags}"
        context = av.bitstream.BitStreamFilterContext(insert, stream)
        frames = [av.VideoFrame.from_ndarray(corner_picture()) for _ in range(3)]
        packets = [packet for frame in [*frames, None] for packet in stream.encode(frame)]
        for packet in [*packets, None]:
            out.mux(context.filter(packet))
    assert corners(read_frames(path, [2])[0]) == shown_corners(MATRICES[matrix])


def test_mirrored_exif_counts_in_motion_jpeg(tmp_path):
    for orientation in range(1, 9):
        tags = Image.Exif()
        tags[0x0112] = orientation
        jpeg = io.BytesIO()
        Image.fromarray(corner_picture()).save(jpeg, "jpeg", exif=tags, quality=95)
        path = tmp_path / f"{orientation}.avi"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("mjpeg", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
            for time in range(3):
                packet = av.Packet(jpeg.getvalue())
                packet.pts = packet.dts = time
                packet.time_base, packet.stream = Fraction(1, 25), stream
                out.mux(packet)
        wanted = corners(np.asarray(ImageOps.exif_transpose(Image.open(jpeg))))
        assert corners(read_frames(path, [1])[0]) == wanted
