import itertools
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from broken_files import damage_packet
from encoded_video import random_frames, raw_options
from plain_decoding import decoded_frames

from gcvideo.data import VideoReader, VideoReadError, write_video
from gcvideo.data.video import _container as container
from gcvideo.data.video import _stream as stream_module
from gcvideo.data.video._stream import is_stream, stream_frames


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.fixture
def served(tmp_path):
    """A folder and the address under which it is served."""
    handler = partial(_QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield tmp_path, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["clip.mp4", "clip.ts"])
def test_a_served_video_gives_the_frames_of_a_plain_decode(served, name):
    folder, address = served
    write_video(folder / name, random_frames(), fps=25, options={"bf": "2"})
    stamped = list(stream_frames(f"{address}/{name}"))
    expected = list(decoded_frames(folder / name))
    assert len(stamped) == len(expected) == 30
    for (_, frame), plain in zip(stamped, expected, strict=True):
        np.testing.assert_array_equal(frame, plain)
    np.testing.assert_allclose([seconds for seconds, _ in stamped], np.arange(30) / 25)


@pytest.mark.parametrize("name", ["h264.mp4", "mpeg4_bframes.avi", "vp9.webm"])
def test_a_file_gives_the_frames_of_the_reader(make_video, name):
    with VideoReader(make_video(name)) as reader:
        expected = reader.read(range(reader.info.num_frames))
    frames = np.stack([frame for _, frame in stream_frames(str(make_video(name)))])
    np.testing.assert_array_equal(frames, expected)


def test_a_named_pipe_is_read_to_its_end(pipe, make_video):
    video = make_video("h264_open_gop.mkv")
    frames = [frame for _, frame in stream_frames(pipe(video.read_bytes()))]
    np.testing.assert_array_equal(np.stack(frames), np.stack(list(decoded_frames(video))))


def test_format_and_options_open_what_does_not_describe_itself(pipe):
    frames = random_frames(5)
    source = pipe(frames.tobytes())
    stamped = list(stream_frames(source, format="rawvideo", options=raw_options(10)))
    np.testing.assert_array_equal(np.stack([frame for _, frame in stamped]), frames)
    np.testing.assert_allclose([seconds for seconds, _ in stamped], np.arange(5) / 10)


def test_a_frame_comes_as_soon_as_its_sender_has_written_it(tmp_path):
    frames = random_frames(3)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    may_go_on = threading.Event()

    def send():
        with path.open("wb", buffering=0) as sender:
            sender.write(frames[:2].tobytes())
            may_go_on.wait(60)
            sender.write(frames[2:].tobytes())

    thread = threading.Thread(target=send)
    thread.start()
    options = raw_options(10) | {"probesize": "32", "fpsprobesize": "0"}
    with stream_frames(str(path), format="rawvideo", options=options) as stream:
        np.testing.assert_array_equal(next(stream)[1], frames[0])
        may_go_on.set()
        assert len(list(stream)) == 2
    thread.join()


def test_a_large_source_is_scaled_down_as_the_reader_does(tmp_path):
    write_video(tmp_path / "clip.mp4", random_frames(4, 96, 128))
    with VideoReader(tmp_path / "clip.mp4") as reader:
        expected = reader.read(range(4), short_side=40)
    frames = [frame for _, frame in stream_frames(str(tmp_path / "clip.mp4"), short_side=40)]
    assert frames[0].shape == (40, 53, 3)
    np.testing.assert_array_equal(np.stack(frames), expected)


def test_frames_of_another_size_are_resized_to_the_first(pipe, tmp_path):
    write_video(tmp_path / "small.ts", random_frames(10))
    write_video(tmp_path / "large.ts", random_frames(10, 96, 128))
    both = (tmp_path / "small.ts").read_bytes() + (tmp_path / "large.ts").read_bytes()
    stamped = list(stream_frames(pipe(both)))
    assert len(stamped) == 20
    assert {frame.shape for _, frame in stamped} == {(48, 64, 3)}
    # The second part starts its stamps anew.
    np.testing.assert_allclose([seconds for seconds, _ in stamped], np.arange(20) / 30, atol=1e-4)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_picture_is_put_upright(shared_data, degrees):
    video = shared_data / f"zoo/made/rot{degrees}.mp4"
    pairs = zip(stream_frames(str(video)), decoded_frames(video), strict=True)
    for (_, frame), plain in itertools.islice(pairs, 5):
        np.testing.assert_array_equal(frame, plain)


def test_damaged_packets_are_left_out_and_counted(tmp_path):
    path = tmp_path / "clip.mp4"
    write_video(path, random_frames(), options={"bf": "0", "g": "1"})
    expected = list(decoded_frames(path))
    damage_packet(path, 10)
    damage_packet(path, 20)
    with stream_frames(str(path)) as stream:
        stamped = list(stream)
        assert stream.num_damaged == 2
    whole = [i for i in range(30) if i not in (10, 20)]
    np.testing.assert_allclose([seconds for seconds, _ in stamped], np.array(whole) / 30)
    for i, (_, frame) in zip(whole, stamped, strict=True):
        np.testing.assert_array_equal(frame, expected[i])


def test_a_source_in_which_nothing_decodes_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(stream_module, "_MAX_DAMAGED_IN_A_ROW", 5)
    write_video(tmp_path / "clip.mkv", random_frames(), codec="ffv1")
    # One pixel less than a frame has: the decoder refuses each of them.
    monkeypatch.setattr(container, "MAX_PIXELS", 48 * 64 - 1)
    with pytest.raises(
        VideoReadError, match=r"5 packets in a row do not decode .*; check the sender"
    ):
        list(stream_frames(str(tmp_path / "clip.mkv")))


def test_a_closed_stream_gives_no_more_frames(make_video):
    with stream_frames(str(make_video("h264.mp4"))) as stream:
        next(stream)
    assert list(stream) == []
    stream.close()


@pytest.mark.parametrize(
    ("source", "format", "expected"),
    [
        ("rtsp://user@host:554/a", None, True),
        ("HTTP://host/a.mp4", None, True),
        ("udp://@:1234", None, True),
        ("pipe:0", None, True),
        ("/dev/video0", None, True),
        ("0", "avfoundation", True),
        ("clip.mp4", None, False),
        ("folder/a: b.mp4", None, False),
        (r"C:\clip.mp4", None, False),
    ],
)
def test_streams_are_told_from_files(source, format, expected):
    assert is_stream(source, format) is expected


def test_a_named_pipe_is_a_stream(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert is_stream(str(tmp_path / "pipe"))
