import multiprocessing
import warnings

import av
import numpy as np
import pytest

from gcvideo.data.video import _conversion as colour
from gcvideo.data.video._checking import check_video
from gcvideo.data.video._decoding import VideoReader, read_frames
from gcvideo.data.video._reencoding import reencode_video
from gcvideo.data.video._stream import stream_frames
from gcvideo.inference._overlay import annotate_video

# K_R and K_B of ITU-T H.273 for the tag that a picture is read by.
LUMA = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 6: (0.299, 0.114), 7: (0.212, 0.087)}
LUMA[9] = (0.2627, 0.0593)
READ_AS = {tag: tag if tag in LUMA else 6 for tag in range(18)} | {5: 6, 10: 9}
REFUSED = {0, 8, *range(10, 18)}
# Samples of a flat picture, far from the borders of the cube of colours in every matrix.
Y, CB, CR = 110, 90, 190


@pytest.fixture(autouse=True)
def nothing_told():
    told = colour._WARNED[:]
    colour._WARNED[:] = bytes(len(told))
    yield
    colour._WARNED[:] = told


def rgb_of(tag):
    """R, G, B of the flat picture in limited range: ITU-T H.273, equations for a matrix."""
    red, blue = LUMA[READ_AS[tag]]
    luma, cb, cr = (Y - 16) / 219, (CB - 128) / 224, (CR - 128) / 224
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return 255 * np.array([r, g, b])


def write_tagged(path, codec, tag, num_frames=4):
    """A flat picture whose stream says that its matrix is ``tag``."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream({"h264": "libx264", "hevc": "libx265"}[codec], rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        # Extradata in front of every keyframe would be a copy without the tag.
        stream.codec_context.flags &= ~av.codec.context.Flags.global_header
        if codec == "hevc":
            stream.options = {"x265-params": "log-level=none"}
        context = av.bitstream.BitStreamFilterContext(
            f"{codec}_metadata=matrix_coefficients={tag}", stream
        )
        for packet in [*_packets(stream, num_frames), None]:
            out.mux(context.filter(packet))
    return path


def _packets(stream, num_frames):
    samples = np.full((72, 64), Y, np.uint8)
    samples[48:60], samples[60:] = CB, CR
    for _ in range(num_frames):
        yield from stream.encode(av.VideoFrame.from_ndarray(samples, format="yuv420p"))
    yield from stream.encode(None)


def assert_is_picture_of(tag, picture):
    assert np.abs(picture.mean((0, 1)) - rgb_of(tag)).max() < 4


@pytest.mark.parametrize("tag", range(18))
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_every_matrix_tag_gives_the_picture_of_its_rule(tmp_path, codec, tag):
    path = write_tagged(tmp_path / f"a.{codec}", codec, tag)
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0)).colorspace
    assert stored == (2 if tag == 3 else tag)  # decoders themselves drop what is reserved
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        picture = read_frames(path, [2])[0]
    assert_is_picture_of(tag, picture)
    assert len(told) == (stored in REFUSED)
    for warning in told:
        assert f"colour matrix {tag} (" in str(warning.message)
        assert f"taken for {'BT.2020' if tag == 10 else 'BT.601'}" in str(warning.message)


@pytest.mark.filterwarnings("ignore:colour matrix")
@pytest.mark.parametrize("tag", [0, 1, 8, 10, 14])
def test_every_path_shows_the_same_colours(tmp_path, tag):
    path = write_tagged(tmp_path / "a.h264", "h264", tag)
    with VideoReader(path) as reader:
        assert_is_picture_of(tag, reader.read([0], short_side=16)[0])
    with stream_frames(str(path)) as frames:
        for _, frame in frames:
            assert_is_picture_of(tag, frame)
    annotate_video(path, tmp_path / "drawn.mp4", lambda _: [])
    assert_is_picture_of(tag, read_frames(tmp_path / "drawn.mp4", [0])[0])
    reencode_video(path, tmp_path / "new.mp4")
    assert_is_picture_of(tag, read_frames(tmp_path / "new.mp4", [0])[0])
    with av.open(str(tmp_path / "new.mp4")) as container:
        assert next(container.decode(video=0)).colorspace == READ_AS[tag]


@pytest.mark.parametrize("tag", [6, 8, 10])
def test_a_check_calls_it_ok_and_says_what_becomes_of_it(tmp_path, tag):
    found = check_video(str(write_tagged(tmp_path / "a.h264", "h264", tag)))
    assert found.status == "ok"
    assert (
        found.remarks
        == {
            6: "",
            8: "colour matrix 8 (YCgCo) is taken for BT.601",
            10: "colour matrix 10 (BT.2020 with constant luminance) is taken for BT.2020",
        }[tag]
    )


def test_a_check_names_frames_that_do_not_convert(tmp_path, monkeypatch):
    path = str(write_tagged(tmp_path / "a.h264", "h264", 1))

    def refuse(*_, **__):
        raise av.error.OSError(95, "Operation not supported")

    monkeypatch.setattr("gcvideo.data.video._checking.convert_frame", refuse)
    found = check_video(path)
    assert (found.status, found.num_frames) == ("unreadable", 0)
    assert found.reason == (
        "frames that cannot be converted to RGB: 4 (yuv420p: Operation not supported)"
    )


@pytest.mark.parametrize("pix_fmt", ["gbrp", "rgb24", "gray"])
def test_frames_without_a_matrix_may_say_so(pix_fmt):
    frame = av.VideoFrame(64, 48, pix_fmt)
    frame.colorspace = 0
    assert colour.settle_matrix(frame) == ""
    assert frame.colorspace == 0


@pytest.mark.parametrize("name", ["color_trc", "color_primaries"])
@pytest.mark.parametrize("tag", [0, 3, 9, 18])
def test_odd_tags_of_transfer_and_primaries_change_nothing(name, tag):
    def picture(tag):
        samples = np.arange(72 * 64, dtype=np.uint32).reshape(72, 64) * 7 % 251
        frame = av.VideoFrame.from_ndarray(samples.astype(np.uint8), format="yuv420p")
        setattr(frame, name, tag)
        reformatter = av.video.reformatter.VideoReformatter()
        return colour.convert_frame(reformatter, frame, 32, 24, format="rgb24").to_ndarray()

    assert np.array_equal(picture(tag), picture(1))


def _num_warnings(path, queue):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        read_frames(path, [0])
    queue.put(len(told))


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no forked processes here"
)
def test_forked_workers_warn_once_in_all(tmp_path):
    path = str(write_tagged(tmp_path / "a.h264", "h264", 8))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    for _ in range(3):
        worker = context.Process(target=_num_warnings, args=(path, queue))
        worker.start()
        worker.join()
    assert sorted(queue.get() for _ in range(3)) == [0, 0, 1]
