"""Frame rates and times of frames in many containers, beside the times that the frames were given."""

from fractions import Fraction
from itertools import accumulate

import av
import numpy as np
import pytest
from field_video import field_packets, field_stream
from stamped_video import with_repeated_fields, without_default_duration, write_stamped

from gcvideo.data.video._checking import check_video
from gcvideo.data.video._decoding import VideoReader
from gcvideo.data.video._reencoding import reencode_video
from gcvideo.data.video._stream import stream_frames

NTSC = Fraction(30000, 1001)
MILLISECOND = Fraction(1, 1000)


def constant(num_frames, rate):
    return [i / Fraction(rate) for i in range(num_frames)]


def slow_then_fast(tick=Fraction(1, 30)):
    return [*(30 // 5 * i * tick for i in range(20)), *((120 + i) * tick for i in range(60))]


def fast_then_slow():
    return [*(Fraction(i, 30) for i in range(60)), *(2 + Fraction(i, 2) for i in range(10))]


def jitter(num_frames=80):
    """Whole milliseconds, 50 on average, as a busy camera gives them."""
    steps = np.random.default_rng(0).integers(15, 86, num_frames - 1)
    return [Fraction(ms, 1000) for ms in accumulate(steps.tolist(), initial=0)]


def true_rate(times):
    return float((len(times) - 1) / (times[-1] - times[0]))


CONSTANT = {
    "a.mp4": ("libx264", {}),
    "b.mp4": ("libx264", {"bf": "3"}),
    "a.mov": ("mpeg4", {}),
    "a.3gp": ("h263", {"size": (176, 144)}),
    "a.mkv": ("libx264", {"bf": "3"}),
    "a.webm": ("libvpx", {"deadline": "realtime", "cpu-used": "8"}),
    "a.ts": ("libx264", {"bf": "3"}),
    "a.m2ts": ("mpeg2video", {"bf": "2"}),
    "a.mpg": ("mpeg1video", {}),
    "a.vob": ("mpeg2video", {"bf": "2"}),
    "a.avi": ("mjpeg", {"pix_fmt": "yuvj420p"}),
    "b.avi": ("mpeg4", {"bf": "2"}),
    "c.avi": ("libx264", {"bf": "3"}),
    "a.flv": ("flv", {}),
    "b.flv": ("libx264", {"bf": "3"}),
    "a.wmv": ("wmv2", {}),
    "b.asf": ("mpeg4", {"bf": "2"}),
    "c.asf": ("libx264", {"bf": "3"}),
    "a.nut": ("mpeg4", {"bf": "2"}),
    "a.mxf": ("mpeg2video", {"bf": "2"}),
    "b.mxf": ("libx264", {"bf": "3"}),
    "a.wtv": ("mpeg2video", {}),
    "a.dv": ("dvvideo", {"size": (720, 480), "pix_fmt": "yuv411p"}),
    "a.gif": ("gif", {"pix_fmt": "rgb8"}),
    "a.apng": ("apng", {"pix_fmt": "rgb24"}),
    "a.ivf": ("libvpx", {"deadline": "realtime", "cpu-used": "8"}),
    "a.y4m": ("wrapped_avframe", {}),
    "a.h264": ("libx264", {"bf": "3"}),
    "a.hevc": ("libx265", {"x265-params": "log-level=none:pools=1"}),
    "a.m2v": ("mpeg2video", {"bf": "2"}),
    "a.m1v": ("mpeg1video", {}),
    "a.m4v": ("mpeg4", {"bf": "2"}),
    "a.h263": ("h263", {"size": (176, 144)}),
}


@pytest.mark.parametrize("name", CONSTANT)
def test_a_constant_rate_is_found_in_every_container(tmp_path, name):
    codec, options = CONSTANT[name]
    path = write_stamped(tmp_path / name, constant(30, NTSC), codec, rate=NTSC, **options)
    with VideoReader(path) as reader:
        assert reader.info.num_frames == 30
        assert reader.info.fps == pytest.approx(float(NTSC), rel=0.005)
        assert reader.timeline.seconds == pytest.approx(np.arange(30) / float(NTSC), abs=0.006)
        assert reader.info.duration_seconds == pytest.approx(1.001, rel=0.005)


VARIABLE = {
    "a.mp4": ("libx264", slow_then_fast(), {}),
    "b.mp4": ("libx264", fast_then_slow(), {"bf": "3"}),
    "c.mp4": ("libx264", jitter(), {"bf": "3"}),
    "a.mov": ("mpeg4", jitter(), {}),
    "a.mkv": ("libx264", fast_then_slow(), {"bf": "3"}),
    "b.mkv": ("mpeg4", slow_then_fast(), {"bf": "2"}),
    "a.webm": ("libvpx", jitter(), {"deadline": "realtime", "cpu-used": "8"}),
    "a.ts": ("libx264", slow_then_fast(), {"bf": "3"}),
    "b.ts": ("libx264", fast_then_slow(), {}),
    "a.m2ts": ("libx264", jitter(), {}),
    "a.flv": ("libx264", slow_then_fast(), {"bf": "3"}),
    "b.flv": ("flv", fast_then_slow(), {}),
    "a.wmv": ("wmv2", fast_then_slow(), {}),
    "b.asf": ("mpeg4", slow_then_fast(), {}),
    "a.nut": ("mpeg4", fast_then_slow(), {"bf": "2"}),
    "a.gif": ("gif", slow_then_fast(), {"pix_fmt": "rgb8"}),
    "a.apng": ("apng", fast_then_slow(), {"pix_fmt": "rgb24"}),
    "a.avi": ("mpeg4", slow_then_fast(), {}),
    "b.avi": ("mjpeg", fast_then_slow(), {"pix_fmt": "yuvj420p"}),
    "c.avi": ("libx264", slow_then_fast(), {"bf": "3"}),
}


@pytest.mark.parametrize("name", VARIABLE)
def test_a_variable_rate_is_the_mean_over_the_frames_own_times(tmp_path, name):
    codec, times, options = VARIABLE[name]
    is_jitter = times[1].denominator > 30
    unit = MILLISECOND if is_jitter else Fraction(1, 30)
    path = write_stamped(tmp_path / name, times, codec, time_base=unit, **options)
    with VideoReader(path) as reader:
        assert reader.info.fps == pytest.approx(true_rate(times), rel=0.01)
        shown = np.array([float(time) for time in times])
        assert reader.timeline.seconds == pytest.approx(shown, abs=0.006)
        found = check_video(str(path))
        assert (found.status, found.fps) == ("ok", reader.info.fps)
        assert found.remarks.endswith("variable frame rate")
    seconds = [seconds for seconds, _ in stream_frames(str(path))]
    assert seconds == pytest.approx(shown, abs=0.006)


@pytest.mark.parametrize("suffix", ["webm", "mkv"])
@pytest.mark.parametrize("times", [jitter(), constant(60, 30)], ids=["jitter", "constant"])
def test_what_a_browser_records_has_the_rate_of_its_frames(tmp_path, suffix, times):
    codec = "libvpx" if suffix == "webm" else "libx264"
    fast = {"deadline": "realtime", "cpu-used": "8"} if suffix == "webm" else {"bf": "0"}
    path = tmp_path / f"a.{suffix}"
    write_stamped(path, times, codec, time_base=MILLISECOND, container={"live": "1"}, **fast)
    without_default_duration(path)
    is_steady = times == constant(60, 30)
    with VideoReader(path) as reader:
        # A whole number that the rounded stamps allow is the rate.
        expected = 30 if is_steady else pytest.approx(true_rate(times), rel=1e-6)
        assert reader.info.fps == expected
    # FFmpeg guesses a rate where the stamps are steady.
    expected_remarks = "" if is_steady else "no frame rate in its header; variable frame rate"
    assert check_video(str(path)).remarks == expected_remarks
    stamped = [seconds for seconds, _ in stream_frames(str(path))]
    assert stamped == pytest.approx([float(time) for time in times], abs=0.001)
    reencode_video(path, tmp_path / "new.mp4")
    with VideoReader(tmp_path / "new.mp4") as reader:
        assert reader.timeline.seconds == pytest.approx(stamped, abs=1e-4)


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(25), NTSC, Fraction(30), Fraction(50)])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_the_stated_rate_is_kept_to_the_last_bit_where_the_stamps_agree(tmp_path, suffix, rate):
    path = write_stamped(tmp_path / f"a.{suffix}", constant(25, rate), rate=rate, bf="0")
    with VideoReader(path) as reader:
        assert reader.info.fps == float(rate)


def test_empty_chunks_of_an_avi_are_time_without_a_frame(tmp_path):
    path = write_stamped(tmp_path / "a.avi", constant(30, 15), "mpeg4", rate=30)
    with VideoReader(path) as reader:
        assert (reader.info.num_frames, reader.info.fps) == (30, 15)
    assert check_video(str(path)).remarks == "a frame rate of 30 in its header"


@pytest.mark.parametrize("num_whole", [0, 5], ids=["fields", "frames, then fields"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv"])
def test_two_fields_are_one_frame(tmp_path, suffix, num_whole):
    (tmp_path / "a.h264").write_bytes(field_stream(30, 25))
    path = tmp_path / f"a.{suffix}"
    tick = Fraction(1, 50)
    with av.open(str(tmp_path / "a.h264")) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        time = 0
        for i, content in enumerate(field_packets(30, 25, num_whole=num_whole)):
            packet = av.Packet(content)
            packet.stream, packet.time_base = stream, tick
            packet.pts = packet.dts = time
            packet.duration = 2 if i < num_whole else 1
            packet.is_keyframe = i < num_whole or (i - num_whole) % 2 == 0
            time += packet.duration
            target.mux(packet)
    for file in (path, tmp_path / "a.h264"):
        with VideoReader(file) as reader:
            assert (reader.info.num_frames, reader.info.fps) == (30, 25)
            assert len(reader.read([29])) == 1


def test_repeated_fields_of_film_count(tmp_path):
    path = write_stamped(
        tmp_path / "a.m2v", constant(40, 25), "mpeg2video", rate=25, flags="+ilme+ildct"
    )
    with VideoReader(with_repeated_fields(path)) as reader:
        # Frames of two and of three fields, 50 fields a second.
        assert reader.info.fps == pytest.approx(20, rel=0.01)
        assert np.diff(reader.timeline.seconds) == pytest.approx([0.04, 0.06] * 19 + [0.04])


def test_the_clock_of_a_transport_stream_wraps(tmp_path):
    wrap = Fraction(2**33, 90000)
    times = [wrap - 1 + time for time in constant(60, 30)]
    path = write_stamped(tmp_path / "a.ts", times, time_base=Fraction(1, 90000), bf="2")
    with VideoReader(path) as reader:
        assert reader.info.fps == 30
        assert reader.timeline.seconds == pytest.approx(np.arange(60) / 30, abs=1e-4)


def test_where_stamps_start_anew_time_goes_on(tmp_path):
    times = slow_then_fast()
    path = write_stamped(tmp_path / "a.ts", times, bf="2")
    (tmp_path / "two.ts").write_bytes(path.read_bytes() * 2)
    with VideoReader(tmp_path / "two.ts") as reader:
        steps = np.diff(reader.timeline.seconds)
    once = np.diff([float(time) for time in times])
    assert steps == pytest.approx([*once, 1 / 30, *once], abs=1e-3)


@pytest.mark.parametrize(
    ("name", "codec", "expected"),
    [
        ("a.mp4", "libx264", NTSC),
        ("a.mkv", "libx264", NTSC),
        ("a.ts", "libx264", NTSC),
        ("a.h264", "libx264", NTSC),
        ("a.avi", "mpeg4", NTSC),
        ("a.wmv", "wmv2", 25),  # its header says 1000
    ],
)
def test_one_frame_has_the_rate_of_its_header(tmp_path, name, codec, expected):
    path = write_stamped(tmp_path / name, constant(1, NTSC), codec, rate=NTSC)
    with VideoReader(path) as reader:
        assert (reader.info.num_frames, reader.info.fps) == (1, float(expected))
        assert reader.timeline.seconds.tolist() == [0]
