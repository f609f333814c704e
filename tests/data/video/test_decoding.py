import itertools
from dataclasses import replace

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain_decoding import decoded_frames

from gcvideo.data.video._container import VideoReadError
from gcvideo.data.video._decoding import VideoReader, probe, read_frames
from gcvideo.data.video._orientation import Orientation

NAMES = (
    *("h264.mp4", "h264_open_gop.mkv", "hevc.mp4", "mpeg4_bframes.avi"),
    *("mpeg4.mp4", "vp8.webm", "vp9.webm"),
)
# Everything that is special in the zoo, short of its largest pictures.
ZOO = [
    "made/all_intra.mp4",
    "made/anim.gif",
    "made/av1_10bit.mkv",
    "made/bad_truncated_50pct_ucf101.avi",
    "made/cover_art_first.mp4",
    "made/editlist_cut.mp4",
    "made/fragmented.mp4",
    "made/frames_1.mp4",
    "made/h264_gray.mp4",
    "made/h264_yuv444.mp4",
    "made/hevc.mp4",
    "made/mpeg2.mpg",
    "made/odd_161x121.mp4",
    "made/one_keyframe.mp4",
    "made/open_gop_8b.mp4",
    "made/prores_10bit422.mov",
    "made/raw_annexb.h264",
    "made/raw_bgr24.avi",
    "made/real_ut_kick.avi",
    "made/resolution_change.ts",
    "made/rot90.mp4",
    "made/start_100s.ts",
    "made/theora.ogv",
    "made/tiny_2x2.mp4",
    "made/vfr_gap_2s.mp4",
    "made/vp8.webm",
    "made/xvid_bframes_packed.avi",
    "real/-video-with-dash-.mp4",
    "real/decord_unordered.mov",
    "real/mma2_test.avi",
    "real/tc_h265_10bits.mp4",
    "real/tc_nasa_13013.mp4",
    "real/tv_hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi",
]


def drawn_index(frame):
    width = frame.shape[1] // 8
    bits = [frame[:, i * width : (i + 1) * width].mean() > 127 for i in range(8)]
    return sum(int(bit) << i for i, bit in enumerate(bits))


@pytest.mark.parametrize("name", NAMES)
def test_every_frame_is_the_one_asked_for(make_video, name):
    with VideoReader(make_video(name)) as reader:
        assert (reader.info.num_frames, reader.info.width, reader.info.height) == (60, 64, 48)
        assert reader.info.fps == 25
        assert reader.info.duration_seconds == 2.4
        for index in range(60):
            assert drawn_index(reader.read([index])[0]) == index


@pytest.mark.parametrize("name", NAMES)
def test_sparse_reads_equal_a_full_decode(make_video, name):
    path = make_video(name)
    everything = [*decoded_frames(path)]

    @settings(max_examples=15, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.integers(0, len(everything) - 1), max_size=12))
    def check(indices):
        frames = reader.read(indices)
        assert len(frames) == len(indices)
        assert all(
            np.array_equal(frame, everything[i]) for frame, i in zip(frames, indices, strict=True)
        )

    with VideoReader(path) as reader:
        check()


@pytest.mark.parametrize("name", ZOO)
def test_real_files_read_as_a_full_decode(shared_data, name):
    path = shared_data / "zoo" / name
    everything = [*decoded_frames(path)]
    rng = np.random.default_rng(0)
    with VideoReader(path) as reader:
        assert reader.info.num_frames == len(everything)
        for count in (1, 1, 4, 8):
            indices = rng.integers(len(everything), size=count)
            assert np.array_equal(reader.read(indices), [everything[i] for i in indices])


def test_broken_files_give_frames_or_one_error(shared_data):
    outcomes = {}
    for path in sorted((shared_data / "zoo" / "made").glob("bad_*")):
        try:
            outcomes[path.name] = len(read_frames(path, range(probe(path).num_frames)))
        except VideoReadError as error:
            outcomes[path.name] = error.reason
    assert outcomes["bad_truncated_60pct.avi"] == 25
    assert outcomes["bad_truncated_50pct_ucf101.avi"] == 121
    assert outcomes["bad_bitflips.mp4"].startswith("decoding failed")
    assert outcomes["bad_stco_offset.mp4"] == "no frame can be decoded"
    assert len(outcomes) == 13


def test_frames_before_the_break_of_a_file_can_be_read(shared_data):
    with VideoReader(shared_data / "zoo/real/decord_corrupted.mp4") as reader:
        assert len(reader.read([0, 5])) == 2
        with pytest.raises(VideoReadError, match="decoding failed"):
            reader.read(range(reader.info.num_frames))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotated_files_come_upright(shared_data, degrees):
    made = shared_data / "zoo" / "made"
    upright = read_frames(made / "h264_noaudio.mp4", [7])[0]
    with VideoReader(made / f"rot{degrees}.mp4") as reader:
        assert reader.info.orientation == Orientation(degrees // 90)
        assert np.array_equal(reader.read([7])[0], np.rot90(upright, degrees // 90))
        assert (reader.info.height, reader.info.width) == reader.read([7]).shape[1:3]


def test_nothing_reaches_the_terminal(shared_data, capfd):
    path = shared_data / "zoo/made/bad_bitflips.mp4"
    with pytest.raises(VideoReadError):
        read_frames(path, range(probe(path).num_frames))
    assert capfd.readouterr() == ("", "")


def test_a_seek_that_lands_late_is_repeated_further_back(make_video, monkeypatch):
    with VideoReader(make_video("h264.mp4")) as reader:
        keyframes = reader.timeline.keyframes.tolist()
        late = dict(itertools.pairwise(keyframes))
        inner = reader._container
        landed = []

        class LateSeeks:
            def seek(self, offset, **arguments):
                landed.append(late.get(offset, offset))
                inner.seek(landed[-1], **arguments)

            def __getattr__(self, name):
                return getattr(inner, name)

        monkeypatch.setattr(reader, "_container", LateSeeks())
        assert [drawn_index(frame) for frame in reader.read([30, 26])] == [30, 26]
        target = reader.timeline.stamps[26]
        assert landed[0] > target >= landed[1]


def with_timeline(reader, stamps):
    info = replace(reader.info, num_frames=len(stamps))
    return VideoReader(reader.path, timeline=replace(reader.timeline, info=info, stamps=stamps))


def test_a_timeline_that_lies_is_replaced_by_counting(make_video):
    with VideoReader(make_video("h264.mp4")) as reader:
        times = reader.timeline.stamps
    shifted = times.copy()
    shifted[25] += 1
    with with_timeline(reader, shifted) as lied_to:
        assert [drawn_index(frame) for frame in lied_to.read([25, 3])] == [25, 3]
        assert not lied_to.timeline.is_direct


def test_a_file_with_fewer_frames_than_packets_is_refused_where_they_lack(
    make_video,
):
    with VideoReader(make_video("h264.mp4")) as reader:
        times = reader.timeline.stamps
    with (
        with_timeline(reader, np.append(times, times[-1] + 512)) as lied_to,
        pytest.raises(VideoReadError, match="has packets for 61 frames but gives 60"),
    ):
        lied_to.read([60])


@pytest.mark.parametrize("name", NAMES)
def test_a_timeline_kept_from_before_gives_the_same_frames(make_video, name):
    with VideoReader(make_video(name)) as scanned:
        indices = [59, 2, 31, 30, 2]
        expected = scanned.read(indices)
    with VideoReader(make_video(name), timeline=scanned.timeline) as reader:
        assert np.array_equal(reader.read(indices), expected)
        assert reader.timeline is scanned.timeline


def test_only_references_and_wanted_frames_are_decoded(make_video, monkeypatch):
    path = make_video("h264.mp4")
    with av.open(str(path)) as container:
        kinds = {f.pts: PictureType(f.pict_type).name for f in container.decode(video=0)}
    with VideoReader(path) as reader:
        decoded: list[int] = []
        decode_due = VideoReader._decode_due

        def watched(*arguments):
            for frame in decode_due(*arguments):
                decoded.append(frame.pts)
                yield frame

        monkeypatch.setattr(VideoReader, "_decode_due", watched)
        times = reader.timeline.stamps
        wanted = next(i for i in range(20, 60) if kinds[times[i]] == "B")
        target = times[wanted]
        reader.read([wanted])
        start = max(t for t in reader.timeline.keyframes if t <= target)
    assert target in decoded
    assert min(decoded) == start
    before = [t for t in times if start <= t < target]
    bidirectional = [t for t in before if kinds[t] == "B"]
    # Of the B-frames on the way only those that others refer to (a pyramid's middle) are decoded.
    assert len(bidirectional) >= 2
    assert len({*decoded} & {*bidirectional}) <= len(bidirectional) / 2
    assert {t for t in before if kinds[t] != "B"} <= {*decoded}


def test_damaged_packets_are_left_out_and_counted_on_request(make_video, tmp_path):
    source = make_video("h264.mp4")
    with av.open(str(source)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    content = bytearray(source.read_bytes())
    for start, size in packets[13:15]:
        content[start : start + size] = bytes(size)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    with VideoReader(path) as strict, pytest.raises(VideoReadError, match="decoding failed"):
        strict.read(range(60))
    with VideoReader(path, tolerant=True) as reader:
        assert reader.num_damaged == 2
        assert reader.info.num_frames == 58
        shown = [drawn_index(frame) for frame in reader.read(range(58))]
    assert shown[:12] == list(range(12))
    assert shown[-36:] == list(range(24, 60))


@pytest.mark.parametrize(
    ("size", "short_side", "expected"), [((64, 48), 24, (24, 32)), ((64, 48), 25, (48, 64))]
)
def test_large_sources_are_scaled_down_while_converting(make_video, size, short_side, expected):
    with VideoReader(make_video("h264.mp4")) as reader:
        assert (reader.info.width, reader.info.height) == size
        full = reader.read([5, 21])
        frames = reader.read([5, 21], short_side=short_side)
    assert frames.shape[1:3] == expected
    if expected == (24, 32):
        halved = full.reshape(2, 24, 2, 32, 2, 3).mean(axis=(2, 4))
        assert np.abs(frames - halved).mean() < 2
    else:
        assert np.array_equal(frames, full)


def test_scaling_happens_before_turning(shared_data):
    with VideoReader(shared_data / "zoo/made/rot90.mp4") as reader:
        short_side = min(reader.info.width, reader.info.height) // 4
        frame = reader.read([3], short_side=short_side)[0]
        assert min(frame.shape[:2]) == short_side
        assert (frame.shape[0] > frame.shape[1]) == (reader.info.height > reader.info.width)


@pytest.mark.parametrize("index", [-1, 60])
def test_an_index_out_of_range_names_the_number_of_frames(make_video, index):
    with (
        VideoReader(make_video("h264.mp4")) as reader,
        pytest.raises(IndexError, match=f"frame {index} of .* has 60 frames; use indices 0 to 59"),
    ):
        reader.read([0, index])


def test_no_index_gives_no_frame(make_video):
    assert read_frames(make_video("h264.mp4"), []).shape == (0, 48, 64, 3)
