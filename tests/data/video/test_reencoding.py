import resource
import threading
from fractions import Fraction

import av
import numpy as np
import pytest
from encoded_video import encode

from gcvideo.data.video import _reencoding as reencoding
from gcvideo.data.video._container import VideoReadError
from gcvideo.data.video._decoding import probe, read_frames
from gcvideo.data.video._encoding import write_video
from gcvideo.data.video._reencoding import reencode_video

# Milliseconds: 25 frames a second with two gaps, which no constant rate can tell.
VARIABLE_TIMES = [1000 + 40 * i + 200 * (i > 7) + 1333 * (i > 20) for i in range(40)]


def smooth_pictures(num_frames, height, width):
    """Coloured gradients that drift, so that every frame differs and chroma matters."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    return [
        (127 + 120 * np.sin(np.stack([3 * x + t / 9, 4 * y - t / 7, x + y + t / 5], -1) * 2))
        .round()
        .astype(np.uint8)
        for t in range(num_frames)
    ]


def write_stamped(path, times, colorspace=1, color_range=1):
    """A video whose frames are shown at ``times`` (ms), tagged with a matrix and a range."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.colorspace = colorspace
        stream.codec_context.color_range = color_range
        stream.thread_count = 1
        for time, picture in zip(times, smooth_pictures(len(times), 48, 64), strict=True):
            rgb = av.VideoFrame.from_ndarray(picture, format="rgb24")
            tags = {"dst_colorspace": colorspace, "dst_color_range": color_range}
            frame = rgb.reformat(format="yuv420p", threads=1, **tags)
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def frame_times(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        return [frame.pts * stream.time_base for frame in container.decode(stream)]


def packets(path):
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


@pytest.fixture
def long_gop(tmp_path):
    """50 frames of 96x64 after a single keyframe."""
    path = tmp_path / "long.mp4"
    write_video(path, smooth_pictures(50, 64, 96), options={"g": "250", "crf": "12"})
    return path


def test_the_pictures_stay_nearly_what_they_were(long_gop, tmp_path):
    result = reencode_video(long_gop, tmp_path / "new.mp4")
    assert (result.num_frames, result.num_damaged) == (50, 0)
    assert result.bytes_before == long_gop.stat().st_size
    assert result.bytes_after == (tmp_path / "new.mp4").stat().st_size
    before, after = (read_frames(path, range(50)) for path in (long_gop, tmp_path / "new.mp4"))
    error = np.square(before.astype(float) - after).mean()
    assert 10 * np.log10(255**2 / error) > 37  # dB


def test_variable_frame_times_are_kept_from_the_first_on(tmp_path):
    write_stamped(tmp_path / "vfr.mkv", VARIABLE_TIMES)
    reencode_video(tmp_path / "vfr.mkv", tmp_path / "new.mp4")
    expected = [Fraction(time - VARIABLE_TIMES[0], 1000) for time in VARIABLE_TIMES]
    assert frame_times(tmp_path / "new.mp4") == expected


def test_duration_and_rate_of_a_constant_video_are_kept(long_gop, tmp_path):
    reencode_video(long_gop, tmp_path / "new.mp4")
    assert probe(tmp_path / "new.mp4") == probe(long_gop)
    with av.open(str(tmp_path / "new.mp4")) as new, av.open(str(long_gop)) as old:
        # 50 frames of 512 ticks; an edit list counts whole milliseconds, of 15.36 ticks.
        for container in (new, old):
            assert container.streams.video[0].duration == pytest.approx(50 * 512, abs=15.36)


def test_avi_whose_times_go_back_and_forth_gets_a_steady_rate(make_video, tmp_path):
    path = make_video("mpeg4_bframes.avi")
    reencode_video(path, tmp_path / "new.mp4")
    assert frame_times(tmp_path / "new.mp4") == [Fraction(i, 25) for i in range(60)]


@pytest.mark.parametrize("gop_size", [4, 16])
def test_a_keyframe_comes_at_least_every_gop_and_groups_are_closed(long_gop, tmp_path, gop_size):
    reencode_video(long_gop, tmp_path / "new.mp4", gop_size=gop_size)
    stream = packets(tmp_path / "new.mp4")
    starts = [i for i, packet in enumerate(stream) if packet.is_keyframe]
    assert starts[0] == 0
    assert max(np.diff([*starts, len(stream)])) == gop_size
    everything = read_frames(tmp_path / "new.mp4", range(50))
    for start in starts:
        # Closed: what is decoded from a keyframe on alone is the end of the whole, bit for bit.
        with av.open(str(tmp_path / "new.mp4")) as container:
            container.seek(stream[start].pts, stream=container.streams.video[0])
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert np.array_equal(frames, everything[start:])


def test_sound_is_dropped_and_the_index_stands_before_the_pictures(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        video, audio = container.add_stream("libx264", rate=25), container.add_stream("aac")
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for picture in smooth_pictures(10, 48, 64):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture)))
        silence = av.AudioFrame.from_ndarray(
            np.zeros((2, 1024), np.float32), format="fltp", layout="stereo"
        )
        silence.sample_rate = 48000
        container.mux(audio.encode(silence))
        container.mux([*video.encode(None), *audio.encode(None)])
    reencode_video(tmp_path / "sound.mp4", tmp_path / "new.mp4")
    with av.open(str(tmp_path / "new.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert container.streams.video[0].codec_context.name == "h264"
    content = (tmp_path / "new.mp4").read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((96, 64), 32, (48, 32)),
        ((64, 98), 32, (32, 48)),  # 49 is odd
        ((96, 64), 256, (96, 64)),  # never up
        ((97, 65), 64, (96, 64)),
        ((97, 65), 256, (96, 64)),
    ],
)
def test_the_short_side_shrinks_to_an_even_size_and_never_grows(
    tmp_path, size, short_side, expected
):
    width, height = size
    encode(tmp_path / "a.mkv", smooth_pictures(2, height, width), "ffv1", pix_fmt="bgr0")
    reencode_video(tmp_path / "a.mkv", tmp_path / "new.mp4", short_side=short_side)
    info = probe(tmp_path / "new.mp4")
    assert (info.width, info.height) == expected


@pytest.mark.parametrize("colorspace", [1, 6], ids=["bt709", "bt601"])
@pytest.mark.parametrize("color_range", [1, 2], ids=["limited", "full"])
def test_colours_matrix_and_range_are_kept(tmp_path, colorspace, color_range):
    write_stamped(tmp_path / "a.mp4", range(0, 400, 40), colorspace, color_range)
    reencode_video(tmp_path / "a.mp4", tmp_path / "new.mp4")
    before, after = (read_frames(tmp_path / name, range(10)) for name in ("a.mp4", "new.mp4"))
    assert np.abs((before.astype(int) - after).mean((0, 1, 2))).max() < 0.5
    with av.open(str(tmp_path / "new.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range) == (colorspace, color_range)


def test_rgb_sources_keep_their_colours(tmp_path):
    pictures = smooth_pictures(3, 48, 64)
    encode(tmp_path / "a.mkv", pictures, "libx264rgb", {"qp": "0"}, pix_fmt="rgb24")
    reencode_video(tmp_path / "a.mkv", tmp_path / "new.mp4", crf=10)
    error = read_frames(tmp_path / "new.mp4", range(3)).astype(int) - np.stack(pictures)
    # Halved chroma blurs single pixels; a wrong matrix or range would shift whole channels.
    assert np.abs(error.mean((0, 1, 2))).max() < 1
    assert np.abs(error).mean() < 4


def test_a_change_of_resolution_is_resized_to_the_first(shared_data, tmp_path):
    path = shared_data / "zoo/made/resolution_change.ts"
    assert reencode_video(path, tmp_path / "new.mp4").num_frames == probe(path).num_frames
    assert len(set(np.diff(frame_times(tmp_path / "new.mp4")))) == 1
    before, after = (read_frames(p, [45]) for p in (path, tmp_path / "new.mp4"))
    assert np.abs(before.astype(int) - after).mean() < 4


def test_cover_art_is_not_the_video(shared_data, tmp_path):
    path = shared_data / "zoo/made/cover_art_first.mp4"
    assert reencode_video(path, tmp_path / "new.mp4").num_frames == 50


def test_broken_packets_are_left_out_and_counted(long_gop, tmp_path):
    content = bytearray(long_gop.read_bytes())
    broken = packets(long_gop)[40]
    assert broken.pos is not None
    content[broken.pos : broken.pos + broken.size] = bytes(broken.size)
    long_gop.write_bytes(content)
    result = reencode_video(long_gop, tmp_path / "new.mp4")
    assert (result.num_frames, result.num_damaged) == (49, 1)
    assert probe(tmp_path / "new.mp4").num_frames == 49


def test_unreadable_sources_are_named_and_leave_nothing(tmp_path, shared_data):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoReadError, match=r"empty.mp4': the file is empty"):
        reencode_video(tmp_path / "empty.mp4", tmp_path / "new" / "a.mp4")
    frameless = shared_data / "zoo/made/bad_stco_offset.mp4"
    with pytest.raises(VideoReadError, match=r"bad_stco_offset.mp4': no frame can be decoded"):
        reencode_video(frameless, tmp_path / "new" / "a.mp4")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_target_is_replaced_only_by_a_whole_one(long_gop, tmp_path):
    target = tmp_path / "new" / "a.mp4"
    reencode_video(long_gop, target)
    before = target.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))  # as a full disk
    try:
        with pytest.raises(OSError, match="File too large"):
            reencode_video(long_gop, target, crf=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]


def test_quality_and_preset_change_the_size(long_gop, tmp_path):
    def size(**options):
        return reencode_video(long_gop, tmp_path / "new.mp4", **options).bytes_after

    assert size(crf=35) < size() < size(crf=10)
    assert size(preset="veryslow") != size(preset="ultrafast")


def test_impossible_sizes_are_refused(long_gop, tmp_path):
    with pytest.raises(ValueError, match=r"short_side is 255; 4:2:0 video needs an even number"):
        reencode_video(long_gop, tmp_path / "new.mp4", short_side=255)
    with pytest.raises(ValueError, match=r"gop_size is 0; give at least 1 frame"):
        reencode_video(long_gop, tmp_path / "new.mp4", gop_size=0)


def test_a_source_that_hangs_is_named_after_its_budget_and_its_draft_goes(
    long_gop, tmp_path, monkeypatch
):
    end, real = threading.Event(), reencoding.decode_packets

    def hanging(packets, note):
        for number, frames in enumerate(real(packets, note)):
            if number == 30:
                end.wait()
            yield frames

    monkeypatch.setattr(reencoding, "decode_packets", hanging)
    target = tmp_path / "copies" / "new.mp4"
    with pytest.raises(VideoReadError, match=r"was not read within its budget of 0\.5 seconds"):
        reencode_video(long_gop, target, preset="ultrafast", time_budget_seconds=0.5)
    assert len(list(target.parent.iterdir())) == 1  # the draft, which a thread has left open
    end.set()
    (stuck,) = (t for t in threading.enumerate() if t.name == f"read {long_gop}")
    stuck.join()
    del stuck
    assert not list(target.parent.iterdir())


def test_a_long_copy_may_take_longer_than_its_budget_while_it_goes_on(
    long_gop, tmp_path, monkeypatch
):
    monkeypatch.setattr(reencoding, "_SECONDS_A_STEP", 0.0)
    calls = []
    settings = {"time_budget_seconds": 30.0, "progress": lambda: calls.append(1)}
    result = reencode_video(long_gop, tmp_path / "new.mp4", **settings)
    assert len(calls) == result.num_frames
