import inspect
import pickle
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gcvideo.data import decoding
from gcvideo.data.decoding import VideoReader, VideoReadError, probe, read_frames

MakeVideo = Callable[[str], Path]
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


def drawn_index(frame: np.ndarray) -> int:
    width = frame.shape[1] // 8
    bits = [frame[:, i * width : (i + 1) * width].mean() > 127 for i in range(8)]
    return sum(int(bit) << i for i, bit in enumerate(bits))


def decode_everything(path: Path) -> list[np.ndarray]:
    """A plain PyAV decode from start to end, written without the reader."""
    frames = []
    with av.open(str(path), metadata_errors="replace") as container:
        stream = container.streams.best("video")
        reformatter = av.video.reformatter.VideoReformatter()
        size = None
        for packet in container.demux(stream):
            if packet.size == 0 and packet.dts is not None:
                continue
            for frame in packet.decode():
                size = size or (frame.width, frame.height)
                rgb = reformatter.reformat(frame, *size, format="rgb24", threads=1)
                frames.append(np.rot90(rgb.to_ndarray(), frame.rotation // 90).copy())
    return frames


@pytest.mark.parametrize("name", NAMES)
def test_every_frame_is_the_one_asked_for(make_video: MakeVideo, name: str) -> None:
    with VideoReader(make_video(name)) as reader:
        assert (reader.info.num_frames, reader.info.width, reader.info.height) == (60, 64, 48)
        assert reader.info.fps == 25
        assert reader.info.duration_seconds == 2.4
        for index in range(60):
            assert drawn_index(reader.read([index])[0]) == index


@pytest.mark.parametrize("name", NAMES)
def test_sparse_reads_equal_a_full_decode(make_video: MakeVideo, name: str) -> None:
    path = make_video(name)
    everything = decode_everything(path)

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.integers(0, len(everything) - 1), max_size=12))
    def check(indices: list[int]) -> None:
        frames = reader.read(indices)
        assert len(frames) == len(indices)
        assert all(
            np.array_equal(frame, everything[i]) for frame, i in zip(frames, indices, strict=True)
        )

    with VideoReader(path) as reader:
        check()


@pytest.mark.parametrize("name", ZOO)
def test_real_files_read_as_a_full_decode(data_folder: Path, name: str) -> None:
    path = data_folder / "zoo" / name
    everything = decode_everything(path)
    rng = np.random.default_rng(0)
    with VideoReader(path) as reader:
        assert reader.info.num_frames == len(everything)
        for count in (1, 1, 4, 8):
            indices = rng.integers(len(everything), size=count)
            assert np.array_equal(reader.read(indices), [everything[i] for i in indices])


def test_broken_files_give_frames_or_one_error(data_folder: Path) -> None:
    outcomes = {}
    for path in sorted((data_folder / "zoo" / "made").glob("bad_*")):
        try:
            outcomes[path.name] = len(read_frames(path, range(probe(path).num_frames)))
        except VideoReadError as error:
            outcomes[path.name] = error.reason
    assert outcomes["bad_truncated_60pct.avi"] == 25
    assert outcomes["bad_truncated_50pct_ucf101.avi"] == 121
    assert outcomes["bad_bitflips.mp4"].startswith("decoding failed")
    assert outcomes["bad_stco_offset.mp4"] == "no frame can be decoded"
    assert len(outcomes) == 13


def test_frames_before_the_break_of_a_file_can_be_read(data_folder: Path) -> None:
    with VideoReader(data_folder / "zoo/real/decord_corrupted.mp4") as reader:
        assert len(reader.read([0, 5])) == 2
        with pytest.raises(VideoReadError, match="decoding failed"):
            reader.read(range(reader.info.num_frames))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotated_files_come_upright(data_folder: Path, degrees: int) -> None:
    made = data_folder / "zoo" / "made"
    upright = read_frames(made / "h264_noaudio.mp4", [7])[0]
    with VideoReader(made / f"rot{degrees}.mp4") as reader:
        assert reader.info.rotation == degrees
        assert np.array_equal(reader.read([7])[0], np.rot90(upright, degrees // 90))
        assert (reader.info.height, reader.info.width) == reader.read([7]).shape[1:3]


def test_nothing_reaches_the_terminal(data_folder: Path, capfd: pytest.CaptureFixture) -> None:
    with pytest.raises(VideoReadError):
        probe(data_folder / "zoo/made/bad_bitflips.mp4")
    assert capfd.readouterr() == ("", "")


def test_a_seek_that_lands_late_is_repeated_further_back(
    make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    with VideoReader(make_video("h264.mp4")) as reader:
        assert reader._times is not None
        late = dict(zip(reader._keyframes, reader._keyframes[1:], strict=False))
        inner = reader._container

        class LateSeeks:
            def seek(self, offset: int, **arguments: object) -> None:
                inner.seek(late.get(offset, offset), **arguments)

            def __getattr__(self, name: str) -> object:
                return getattr(inner, name)

        monkeypatch.setattr(reader, "_container", LateSeeks())
        assert [drawn_index(frame) for frame in reader.read([30, 26])] == [30, 26]


def test_packets_that_lie_are_replaced_by_counting(make_video: MakeVideo) -> None:
    with VideoReader(make_video("h264.mp4")) as reader:
        assert reader._times is not None
        del reader._times[20]
        assert [drawn_index(frame) for frame in reader.read([25, 3])] == [25, 3]
        assert reader._times is None


def test_a_file_with_fewer_frames_than_packets_is_refused_where_they_lack(
    make_video: MakeVideo,
) -> None:
    with VideoReader(make_video("h264.mp4")) as reader:
        assert reader._times is not None
        reader._times.append(reader._times[-1] + 512)
        object.__setattr__(reader.info, "num_frames", 61)
        with pytest.raises(VideoReadError, match="has packets for 61 frames but gives 60"):
            reader.read([60])


@pytest.mark.parametrize("index", [-1, 60])
def test_an_index_out_of_range_names_the_number_of_frames(
    make_video: MakeVideo, index: int
) -> None:
    with (
        VideoReader(make_video("h264.mp4")) as reader,
        pytest.raises(IndexError, match=f"frame {index} of .* has 60 frames; use indices 0 to 59"),
    ):
        reader.read([0, index])


def test_no_index_gives_no_frame(make_video: MakeVideo) -> None:
    assert read_frames(make_video("h264.mp4"), []).shape == (0, 48, 64, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; download it again"),
        (b"<!DOCTYPE html><p>404", "looks like an HTML page, not a video"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer; run `git lfs pull`"),
        (bytes(range(256)), "does not recognise it as a video; replace the file"),
    ],
)
def test_what_is_no_video_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(VideoReadError, match=rf"cannot read video '.*clip\.mp4': .*{message}"):
        probe(tmp_path / "clip.mp4")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(VideoReadError, match="there is no such file; check the path"):
        probe(tmp_path / "none.mp4")


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoReadError, match="it has no video stream"):
        probe(tmp_path / "sound.mp4")


@pytest.mark.parametrize("name", ["-dash.mp4", "a:b é漢 '.mp4", "noext"])
def test_awkward_names_are_only_names(
    make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).write_bytes(make_video("h264.mp4").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert probe(name).num_frames == 60


def test_an_error_survives_the_way_out_of_a_worker() -> None:
    error = pickle.loads(pickle.dumps(VideoReadError("a.mp4", "the file is empty", "fetch it")))
    assert (error.path, error.reason) == ("a.mp4", "the file is empty")
    assert str(error) == "cannot read video 'a.mp4': the file is empty; fetch it"


def test_streams_without_a_rate_take_it_from_the_duration() -> None:
    class Stream:
        average_rate = guessed_rate = None

    class Container:
        duration = 2_000_000

    rate = inspect.unwrap(decoding._frames_per_second)
    assert rate(Container(), Stream(), 60) == 30
    Container.duration = None
    assert rate(Container(), Stream(), 60) == 25
