import csv
import threading
import time
from dataclasses import replace

import av
import numpy as np
import pytest

from gcvideo.data.video import _checking as checking
from gcvideo.data.video._checking import VideoCheck, check_video
from gcvideo.data.video._decoding import VideoReader

HEALTHY = ("h264.mp4", "h264_open_gop.mkv", "mpeg4_bframes.avi", "vp8.webm")
# The manifest was made with the first video stream and with PyAV's own strictness.
OTHER_STREAM = {"real/tc_nasa_13013.mp4": 390}
MARKED_CORRUPT = {"made/bad_truncated_50pct_ucf101.avi", "made/bad_truncated_60pct.avi"}
FAILS_IN_PYAV_ONLY = {
    "made/theora.ogv",
    "real/tv_hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi",
}


def packet_spans(path):
    """Position and size of each packet in the file."""
    with av.open(str(path)) as container:
        return [(p.pos or 0, p.size) for p in container.demux(video=0) if p.size]


def with_noise(source, target, packets):
    content = bytearray(source.read_bytes())
    rng = np.random.default_rng(0)
    for start, size in packet_spans(source)[packets]:
        content[start : start + size] = rng.bytes(size)
    target.write_bytes(content)
    return target


@pytest.mark.parametrize("name", HEALTHY)
def test_a_whole_video_is_ok(make_video, name):
    path = str(make_video(name))
    found = check_video(path)
    with VideoReader(path) as reader:
        told = 60 if reader.timeline.is_direct else None
        assert found == VideoCheck("ok", "", 60, told, 0, 0, reader.info.fps, 64, 48)
    assert found.duration_seconds == pytest.approx(60 / found.fps)
    if name != "vp8.webm":
        assert found.duration_seconds == pytest.approx(2.4)


@pytest.mark.parametrize("name", ["h264.mp4", "mpeg4.mp4"])
def test_noise_in_the_middle_is_damage_as_the_tolerant_reader_counts_it(make_video, tmp_path, name):
    path = with_noise(make_video(name), tmp_path / name, slice(20, 26))
    found = check_video(str(path))
    with VideoReader(path, tolerant=True) as reader:
        assert found.num_frames == reader.info.num_frames
        assert found.damaged_packets == reader.num_damaged > 0
    assert found.status == "damaged"
    assert found.reason.startswith(f"packets that do not decode: {found.damaged_packets} (Invalid")


def test_a_file_cut_inside_a_frame_is_damaged_though_every_packet_decodes(make_video, tmp_path):
    source = make_video("mpeg4_bframes.avi")
    start, size = packet_spans(source)[30]
    path = tmp_path / "cut.avi"
    path.write_bytes(source.read_bytes()[: start + size // 2])
    found = check_video(str(path))
    assert (found.status, found.damaged_packets) == ("damaged", 0)
    assert found.reason == f"frames that the decoder marks as corrupt: {found.corrupt_frames}"
    assert 25 < found.num_frames < 60


def test_what_does_not_open_is_unreadable(make_video, tmp_path):
    path = tmp_path / "broken.mp4"
    assert check_video(str(path)) == VideoCheck("unreadable", "there is no such file")
    whole = make_video("h264.mp4").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    reason = "FFmpeg does not recognise it as a video"
    assert check_video(str(path)) == VideoCheck("unreadable", reason)
    assert check_video(str(path)).duration_seconds == 0


def test_a_video_whose_packets_are_all_noise_is_unreadable(make_video, tmp_path):
    path = with_noise(make_video("h264.mp4"), tmp_path / "noise.mp4", slice(None))
    found = check_video(str(path))
    assert found.status == "unreadable"
    assert found.reason.startswith("no frame can be decoded (Invalid data")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda stamps: stamps[:-2], "it has packets for 58 frames but gives 60"),
        (lambda stamps: stamps + 1, "its frames have other time stamps than its packets"),
    ],
)
def test_frames_unlike_what_the_packets_promise_are_damage(
    make_video,
    monkeypatch,
    change,
    reason,
):
    scan = checking.scan_packets

    def lie(container, stream):
        timeline = scan(container, stream)
        return replace(timeline, stamps=change(timeline.stamps))

    monkeypatch.setattr(checking, "scan_packets", lie)
    found = check_video(str(make_video("h264.mp4")))
    assert (found.status, found.reason, found.num_frames) == ("damaged", reason, 60)


def test_a_file_that_hangs_is_unreadable_after_its_budget(make_video, monkeypatch):
    end = threading.Event()
    monkeypatch.setattr(checking, "open_video", lambda path: end.wait())
    found = check_video(str(make_video("h264.mp4")), time_budget_seconds=0.1)
    end.set()
    reason = "it was not read within its budget of 0.1 seconds"
    assert found == VideoCheck("unreadable", reason)


def test_a_long_video_may_take_longer_than_the_budget_while_it_goes_on(make_video, monkeypatch):
    count = checking._Seen.count
    monkeypatch.setattr(checking, "_SECONDS_A_STEP", 0.05)
    monkeypatch.setattr(
        checking._Seen, "count", lambda self, frame: (time.sleep(0.03), count(self, frame))
    )
    start = time.monotonic()
    found = check_video(str(make_video("h264.mp4")), time_budget_seconds=1.2)
    assert time.monotonic() - start > 1.2
    assert (found.status, found.num_frames) == ("ok", 60)


def test_an_error_that_nobody_expects_is_the_reason_for_one_file_only(make_video, monkeypatch):
    def fail(*_):
        raise OverflowError("a number too large")

    monkeypatch.setattr(checking, "counted_timeline", fail)
    found = check_video(str(make_video("h264.mp4")))
    assert found == VideoCheck("unreadable", "OverflowError: a number too large")


@pytest.mark.parametrize(
    ("is_small", "at_least"), [(True, 60), pytest.param(False, 40, marks=pytest.mark.slow)]
)
def test_real_and_broken_files_are_found_as_the_manifest_says(shared_data, is_small, at_least):
    with (shared_data / "zoo/manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (int(row["bytes"]) < 25_000) == is_small]
    for row in rows:
        name, num_frames = row["file"], int(row["tolerant_frames"])
        status = "damaged" if num_frames else "unreadable"
        if row["strict_result"] == "ok" or name in FAILS_IN_PYAV_ONLY:
            status = "damaged" if name in MARKED_CORRUPT else "ok"
        found = check_video(str(shared_data / "zoo" / name))
        expected = status, OTHER_STREAM.get(name, num_frames)
        assert (found.status, found.num_frames) == expected, (name, found)
    assert len(rows) > at_least
