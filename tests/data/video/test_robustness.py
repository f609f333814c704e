import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from plain_decoding import decoded_frames

from gcvideo.data.video._decoding import VideoReader, VideoReadError

SECONDS_PER_FILE = 0.5


def read_mutations(folder, count):
    """Number of mutated files that gave frames; fails on a crash, a hang or a wrong shape."""
    script = Path(__file__).with_name("mutation.py")
    arguments = [sys.executable, str(script), str(folder), "0", str(count), "0"]
    try:
        done = subprocess.run(
            arguments, capture_output=True, text=True, timeout=60 + count * SECONDS_PER_FILE
        )
    except subprocess.TimeoutExpired:
        pytest.fail(f"mutation {(folder / 'current').read_text()} of {count} hangs")
    number = (folder / "current").read_text()
    assert done.returncode == 0, f"mutation {number}: {done.returncode} {done.stderr[-2000:]}"
    assert not done.stderr
    return int(done.stdout)


@pytest.fixture
def sources(make_video, tmp_path):
    (tmp_path / "sources").mkdir()
    for name in ("h264.mp4", "vp8.webm", "vp9.webm", "mpeg4_bframes.avi", "hevc.mp4"):
        file = make_video(name)
        (tmp_path / "sources" / name).write_bytes(file.read_bytes())
    return tmp_path


def mirrored(content):
    """An mp4 whose display matrix turns pictures about their vertical axis."""
    start = content.index(b"tkhd") + 4 + 40
    matrix = np.frombuffer(content[start : start + 36], ">i4").reshape(3, 3).copy()
    matrix[0, 0] *= -1
    return content[:start] + matrix.tobytes() + content[start + 36 :]


@pytest.fixture
def odd_sources(make_video, tmp_path):
    """Intra refresh, a rare colour matrix, a variable rate and a mirror."""
    (tmp_path / "sources").mkdir()
    for name in ("h264_refresh.mp4", "h264_tagged.mp4", "h264_variable.mkv"):
        (tmp_path / "sources" / name).write_bytes(make_video(name).read_bytes())
    whole = make_video("h264.mp4").read_bytes()
    (tmp_path / "sources" / "mirrored.mp4").write_bytes(mirrored(whole))
    return tmp_path


@pytest.mark.parametrize(
    ("count", "least"), [(150, 0), pytest.param(2000, 200, marks=pytest.mark.slow)]
)
def test_mutated_files_give_frames_or_an_error(sources, count, least):
    assert least < read_mutations(sources, count) < count


@pytest.mark.parametrize(
    ("count", "least"), [(150, 0), pytest.param(5000, 500, marks=pytest.mark.slow)]
)
def test_mutated_files_of_odd_kinds_give_frames_or_an_error(odd_sources, count, least):
    assert least < read_mutations(odd_sources, count) < count


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def num_open_files():
    return len([*Path("/proc/self/fd").iterdir()])


def read_often(files, count):
    """Growth of resident memory in bytes and of open files over many reads, broken files included."""
    rng = np.random.default_rng(0)
    start_bytes = start_files = 0
    for number in range(count):
        if number == count // 5:
            start_bytes, start_files = resident_bytes(), num_open_files()
        try:
            with VideoReader(files[number % len(files)]) as reader:
                reader.read(rng.integers(reader.info.num_frames, size=8))
        except VideoReadError:
            continue
    return resident_bytes() - start_bytes, num_open_files() - start_files


@pytest.fixture
def files(make_video, tmp_path):
    names = ("h264.mp4", "vp8.webm", "vp9.webm", "mpeg4_bframes.avi", "hevc.mp4")
    broken = tmp_path / "broken.mp4"
    whole = make_video("h264.mp4").read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    return [*(make_video(name) for name in names), broken]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("count", "most_bytes"), [(300, 30e6), pytest.param(2000, 50e6, marks=pytest.mark.slow)]
)
def test_reading_often_keeps_neither_memory_nor_files(files, count, most_bytes):
    growth, num_open = read_often(files, count)
    assert num_open == 0
    assert growth < most_bytes


def frame_sums(path):
    """A checksum of every frame of a plain decode; None if that fails."""
    try:
        return [checksum(frame) for frame in decoded_frames(path)]
    except (av.error.FFmpegError, AttributeError):
        return None


def checksum(frame):
    return hash(np.ascontiguousarray(frame).tobytes())


@pytest.mark.slow
def test_every_frame_of_the_zoo_is_the_one_of_a_full_decode(shared_data):
    """Indices alone, then random sets with a timeline kept from before; fewer of large pictures."""
    rng = np.random.default_rng(0)
    num_files = 0
    for path in sorted((shared_data / "zoo").glob("*/*")):
        expected = frame_sums(path)
        if not expected:
            with pytest.raises(VideoReadError), VideoReader(path) as reader:
                reader.read(range(reader.info.num_frames))
            continue
        num_files += 1
        with VideoReader(path) as reader:
            assert reader.info.num_frames == len(expected), path
            count = 40 if reader.info.width * reader.info.height < 500_000 else 4
            singles = rng.permutation(len(expected))[:count].tolist()
            assert [checksum(reader.read([i])[0]) for i in singles] == [
                expected[i] for i in singles
            ], path
            timeline = reader.timeline
        for _ in range(max(count // 4, 2)):
            indices = rng.integers(len(expected), size=rng.integers(1, 12))
            with VideoReader(path, timeline=timeline) as reader:
                frames = reader.read(indices)
                assert [checksum(f) for f in frames] == [expected[i] for i in indices], path
                assert reader.timeline is timeline, path
    assert num_files > 90
