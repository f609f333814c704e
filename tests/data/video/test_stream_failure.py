import socket
import threading
import time
from types import SimpleNamespace

import av
import av.error
import pytest
from encoded_video import encode_sound, random_frames, raw_options

from gcvideo.data import VideoReadError, write_video
from gcvideo.data.video._stream import stream_frames


@pytest.fixture
def silent_port():
    """A port where connections are taken and never answered."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_closed_port_fails_at_once_and_says_what_to_do():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.monotonic()
    message = (
        r"cannot be opened \(Connection refused\); check the address, that the sender runs, and"
    )
    with pytest.raises(VideoReadError, match=message):
        stream_frames(f"http://127.0.0.1:{port}/a.mp4")
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("scheme", ["http", "tcp"])
def test_a_silent_server_is_given_up_after_the_timeout(silent_port, scheme):
    start = time.monotonic()
    message = "it did not answer within 0.3 seconds; check the address and the network, or raise"
    with pytest.raises(VideoReadError, match=message):
        stream_frames(f"{scheme}://127.0.0.1:{silent_port}/", timeout_seconds=0.3)
    assert 0.2 < time.monotonic() - start < 5


def test_a_server_that_falls_silent_is_given_up_after_the_timeout(tmp_path):
    write_video(tmp_path / "clip.ts", random_frames(100))
    content = (tmp_path / "clip.ts").read_bytes()
    is_over = threading.Event()

    def send(server):
        connection, _ = server.accept()
        with connection:
            connection.sendall(content)
            is_over.wait(60)

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        thread = threading.Thread(target=send, args=[server])
        thread.start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        seen = []
        with pytest.raises(VideoReadError, match=r"nothing has come for 0\.5 seconds; check the"):
            seen.extend(stream_frames(address, timeout_seconds=0.5))
        is_over.set()
        thread.join()
    assert len(seen) > 50


def test_a_connection_that_breaks_off_is_no_end(monkeypatch, make_video):
    stream = stream_frames(str(make_video("h264.mp4")))

    def broken(*_):
        raise av.error.ConnectionResetError(104, "Connection reset by peer")
        yield

    monkeypatch.setattr(stream, "_packets", broken)
    with pytest.raises(
        VideoReadError, match=r"it broke off \(Connection reset by peer\); check the"
    ):
        next(stream)


def test_a_source_without_a_frame_is_no_video(pipe):
    with pytest.raises(VideoReadError, match="it ended before its first frame; check the sender"):
        list(stream_frames(pipe(b""), format="rawvideo", options=raw_options(10)))


def test_sound_alone_is_no_video(tmp_path):
    encode_sound(tmp_path / "sound.mp4")
    with pytest.raises(VideoReadError, match="it has no video that FFmpeg can decode; check that"):
        stream_frames(str(tmp_path / "sound.mp4"))


@pytest.mark.parametrize(
    ("source", "format", "message"),
    [
        ("/dev/video99", "v4l2", r"No such file or directory\); .*; format is 'v4l2'\)"),
        ("/dev/video99", None, r"No such file or directory\); .*; no format is given\)"),
        ("a", "nope", r"no container format 'nope'\); check the address"),
        ("foo://a", None, "this FFmpeg lacks the protocol; send it by http, rtsp"),
    ],
)
def test_what_cannot_be_opened_is_named(source, format, message):
    with pytest.raises(VideoReadError, match=rf"cannot read video '{source}': .*{message}"):
        stream_frames(source, format=format)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_the_timeout_must_be_positive(seconds):
    with pytest.raises(
        ValueError, match=f"timeout_seconds is {seconds:g} but must be positive; 10"
    ):
        stream_frames("a", timeout_seconds=seconds)


def camera_packets(video, demux, timeout_seconds):
    with stream_frames(str(video), timeout_seconds=timeout_seconds) as stream:
        stream._container.close()
        stream._container = SimpleNamespace(demux=lambda _: demux(), close=lambda: None)
        return list(stream._packets())


def test_a_camera_that_is_not_ready_is_asked_again(make_video):
    packets = [av.Packet(1), av.Packet(2)]
    answers = iter([None, None, packets[0], None, packets[1]])

    def demux():
        for answer in answers:
            if answer is None:
                raise BlockingIOError
            yield answer

    assert camera_packets(make_video("h264.mp4"), demux, 60) == packets


def test_a_camera_is_asked_again_after_the_process_was_stopped(make_video, monkeypatch):
    packet, clock = av.Packet(1), iter(range(0, 10**6, 1000))
    answers = iter([None, None, packet])
    # What a process sees that is stopped for a quarter of an hour between any two of its steps.
    late = SimpleNamespace(monotonic=lambda: float(next(clock)), sleep=time.sleep)
    monkeypatch.setattr("gcvideo.data.video._stream.time", late)

    def demux():
        for answer in answers:
            if answer is None:
                raise BlockingIOError
            yield answer

    assert camera_packets(make_video("h264.mp4"), demux, 60) == [packet]


def test_a_camera_that_is_never_ready_is_given_up(make_video):
    def demux():
        raise BlockingIOError
        yield

    with pytest.raises(TimeoutError):
        camera_packets(make_video("h264.mp4"), demux, 0.02)
