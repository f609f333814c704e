import math
from types import SimpleNamespace

import av
import numpy as np
import pytest
from live_sender import LiveSender, pieces

from gcvideo.data import StreamConnections, StreamGap, VideoReadError, stream_frames, write_video


class WallClock:
    """A clock that moves only when someone waits."""

    def __init__(self):
        self.now, self.pauses = 100.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock():
    return WallClock()


@pytest.fixture
def connect(clock, monkeypatch):
    """Connections to sources that are given one after the other, and what is told of them."""
    monkeypatch.setattr("gcvideo.data.video._reconnecting._JITTER", 0.0)
    told = []

    def start(sources, **options):
        sources = iter(sources)

        def open_stream():
            source = next(sources)
            if isinstance(source, Exception):
                raise source
            return source

        connections = StreamConnections(
            open_stream, tell=told.append, clock=clock, sleep=clock.sleep, **options
        )
        return connections, told

    return start


def lost(reason="it broke off"):
    return VideoReadError("cam", reason, "check it")


class Source:
    """What StreamConnections needs of a stream: black frames of a size, and then an error or an end."""

    source = "cam"

    def __init__(self, clock, times, error=None, *, is_live=True, size=4):
        self.is_live, self.is_closed = is_live, False
        self._items = self._frames(clock, times, error, size)

    def _frames(self, clock, times, error, size):
        start = clock.now
        for seconds in times:
            clock.now = max(clock.now, start + seconds)
            yield seconds, np.zeros((size, size, 3), np.uint8)
        if error is not None:
            raise error

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._items)

    def close(self):
        self.is_closed = True


def times_of(connections):
    return [(gap, [seconds for seconds, _ in frames]) for gap, frames in connections]


@pytest.mark.parametrize("error", [None, lost()])
def test_times_go_on_along_the_wall_clock(connect, clock, unchecked, error):
    first, second = Source(clock, [0, 0.5, 1], error), Source(clock, [0, 0.5], is_live=False)
    connections, told = connect([first, second])
    found = times_of(connections)
    reason = "it broke off" if error else "the sender ended it"
    # The clock moves by the first pause alone.
    gap = StreamGap(1.0, 2.0, reason)
    assert found == [(None, [0, 0.5, 1]), (gap, [2, 2.5])]
    assert told == [
        f"the source is lost: {reason}; connecting again",
        "the source is back after 1.0 seconds",
    ]
    assert first.is_closed
    assert second.is_closed


def test_pauses_double_up_to_a_minute(connect, clock, unchecked):
    away = [lost("refused")] * 4 + [lost("no route")] * 5
    sources = [Source(clock, [0, 1]), *away, Source(clock, [0], is_live=False)]
    connections, told = connect(sources)
    (_, _), (gap, _) = times_of(connections)
    assert clock.pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert gap.end_seconds - gap.start_seconds == sum(clock.pauses)
    # Not a line for each attempt, but for each reason.
    assert [line.partition(": ")[2] for line in told[1:3]] == ["refused", "no route"]
    assert told[3] == "the source is back after 303.0 seconds"
    assert len(told) == 4


def test_pauses_vary_a_little(connect, clock, unchecked, monkeypatch):
    connections, _ = connect(
        [Source(clock, [0, 1]), *[lost()] * 9, Source(clock, [0], is_live=False)]
    )
    monkeypatch.setattr("gcvideo.data.video._reconnecting._JITTER", 0.1)
    times_of(connections)
    ratios = np.array(clock.pauses) / [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert np.abs(ratios - 1).max() <= 0.1
    assert len(set(ratios.round(6))) == 10


def test_after_the_limit_the_source_is_given_up(connect, clock, unchecked):
    connections, _ = connect(
        [Source(clock, [0, 1], lost()), *[lost("refused")] * 9], reconnect_seconds=10
    )
    message = (
        r"no frame has come for 10 seconds \(it broke off and then refused\); check the sender and the "
        r"connection, then open it again, or raise reconnect_seconds"
    )
    with pytest.raises(VideoReadError, match=message):
        times_of(connections)
    assert clock.pauses == [1, 2, 4, 3]
    assert connections.open_gap == StreamGap(1.0, 11.0, "it broke off")


def test_a_frame_starts_the_pauses_and_the_limit_anew(connect, clock, unchecked):
    sources = [Source(clock, [0, 1]), lost(), lost(), Source(clock, [0]), Source(clock, [0])]
    connections, _ = connect([*sources, *[lost()] * 9], reconnect_seconds=8)
    found = []
    with pytest.raises(VideoReadError, match="for 8 seconds"):
        found.extend(([seconds for seconds, _ in frames] for _, frames in connections))
    assert found == [[0, 1], [8], [9]]
    assert clock.pauses == [1, 2, 4, 1, 1, 2, 4, 1]


@pytest.mark.parametrize("change", [{"reconnect_seconds": 0}, {"is_live": False}, {"times": []}])
@pytest.mark.parametrize("error", [None, lost()])
def test_a_single_connection_ends_as_its_stream(connect, clock, unchecked, change, error):
    is_live, times = change.get("is_live", True), change.get("times", [0, 1])
    source = Source(clock, times, error, is_live=is_live)
    connections, told = connect([source], reconnect_seconds=change.get("reconnect_seconds"))
    if error is None:
        assert len(times_of(connections)) == 1
    else:
        with pytest.raises(VideoReadError, match="it broke off"):
            times_of(connections)
    assert told == []
    assert clock.pauses == []
    assert connections.open_gap is None
    assert source.is_closed


def test_a_source_that_cannot_be_opened_at_first_is_no_gap(connect):
    with pytest.raises(VideoReadError, match="refused"):
        connect([lost("refused")])


def test_who_stops_within_a_gap_knows_its_start(connect, clock, unchecked, monkeypatch):
    def stop(seconds):
        clock.now += 0.25
        raise KeyboardInterrupt

    monkeypatch.setattr(clock, "sleep", stop)
    connections, _ = connect([Source(clock, [0, 2], lost())])
    with pytest.raises(KeyboardInterrupt):
        times_of(connections)
    assert connections.open_gap == StreamGap(2.0, 2.25, "it broke off")


@pytest.mark.parametrize("seconds", [-1.0, math.nan])
def test_the_limit_is_not_negative(connect, seconds):
    with pytest.raises(
        ValueError, match=f"reconnect_seconds is {seconds:g} but must be at least 0; 0"
    ):
        connect([], reconnect_seconds=seconds)


@pytest.fixture
def parts(tmp_path):
    """Transport streams of 30 grey frames each, of two sizes."""

    def encode(height, width):
        frames = np.full((30, height, width, 3), 90, np.uint8)
        write_video(tmp_path / "part.ts", frames)
        return (tmp_path / "part.ts").read_bytes()

    return [encode(48, 64), encode(32, 96), encode(48, 64)]


def test_a_sender_that_restarts_with_another_size_is_followed(parts):
    # In the middle of the second part the connection is cut.
    parts[1] = parts[1][: 188 * (len(parts[1]) // 188 * 2 // 3)]
    found = []
    with (
        LiveSender(map(pieces, parts)) as sender,
        StreamConnections(
            lambda: stream_frames(sender.address, timeout_seconds=5),
            reconnect_seconds=0.05,
            sleep=lambda seconds: None,
        ) as connections,
        pytest.raises(VideoReadError, match=r"no frame has come for \d+ seconds"),
    ):
        found.extend(
            (gap, [(seconds, frame.shape[:2]) for seconds, frame in frames])
            for gap, frames in connections
        )
    gaps, stretches = zip(*found, strict=True)
    sizes = [[size for _, size in stretch] for stretch in stretches]
    times = [seconds for stretch in stretches for seconds, _ in stretch]
    assert sizes[0] == sizes[2] == [(48, 64)] * 30
    assert set(sizes[1]) == {(32, 96)}
    assert 5 < len(sizes[1]) < 30
    assert min(np.diff(times)) > 0
    assert gaps[0] is None
    for gap in gaps[1:]:
        assert gap.start_seconds < gap.end_seconds < gap.start_seconds + 60


@pytest.mark.parametrize(
    ("source", "format", "size", "duration", "name", "is_live"),
    [
        ("tcp://host:1", None, -38, None, "mpegts", True),
        ("rtsp://host/cam", None, -22, None, "rtsp", True),
        ("rtsp://host/recorded", None, -22, 5_000_000, "rtsp", False),
        ("http://host/clip.mp4", None, 10_000, 5_000_000, "mov,mp4", False),
        ("http://host/clip.ts", None, 10_000, None, "mpegts", False),
        ("https://host/live.m3u8", None, 200, None, "hls", True),
        ("https://host/recorded.m3u8", None, 200, 5_000_000, "hls", False),
        ("/dev/video0", "v4l2", -22, None, "v4l2", True),
        ("Integrated Camera", "dshow", -22, None, "dshow", True),
        ("clip.mp4", None, 10_000, 5_000_000, "mov,mp4", False),
        ("file:///clip.ts", None, 10_000, None, "mpegts", False),
        ("pipe:0", None, -29, None, "mpegts", False),
        ("pipe.ts", "mpegts", -29, None, "mpegts", False),
    ],
)
def test_cameras_and_addresses_without_a_length_are_live(
    make_video, monkeypatch, unchecked, source, format, size, duration, name, is_live
):
    opened = av.open(str(make_video("h264.mp4")))

    class Container:
        def __getattr__(self, attribute):
            return getattr(opened, attribute)

    container = Container()
    container.size, container.duration = size, duration
    container.format = SimpleNamespace(name=name)
    monkeypatch.setattr("gcvideo.data.video._stream.av.open", lambda *_, **__: container)
    monkeypatch.setattr("gcvideo.data.video._stream.prepare_stream", lambda *_: None)
    stream = stream_frames(source, format=format)
    assert stream.is_live is is_live
    opened.close()
