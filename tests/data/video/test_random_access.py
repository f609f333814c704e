"""Sparse reads of streams whose container flags as keyframes what is none to start at."""

import av
import numpy as np
import pytest
from encoded_video import encode
from plain_decoding import decoded_frames

from gcvideo.data.video._decoding import VideoReader
from gcvideo.data.video._random_access import start_picture

NUM_FRAMES = 60
X265 = "log-level=none:pools=1"
STREAMS = {
    "refresh.mp4": ("libx264", "x264-params", "intra-refresh=1:keyint=20:bframes=0"),
    "refresh_bframes.mkv": ("libx264", "x264-params", "intra-refresh=1:keyint=25:bframes=3"),
    "refresh_slices.mp4": ("libx264", "x264-params", "intra-refresh=1:keyint=15:slices=3:ref=4"),
    "open_gop.mp4": ("libx264", "x264-params", "open-gop=1:keyint=12:bframes=8:b-pyramid=normal"),
    "scene_cuts.mkv": ("libx264", "x264-params", "keyint=60:min-keyint=30:scenecut=100"),
    "fields.mp4": ("libx264", "x264-params", "interlaced=1:keyint=16:bframes=3"),
    "hevc_refresh.mp4": ("libx265", "x265-params", f"intra-refresh=1:keyint=20:bframes=0:{X265}"),
    "hevc_open_gop.mp4": ("libx265", "x265-params", f"keyint=12:bframes=8:open-gop=1:{X265}"),
    "hevc_layers.mkv": ("libx265", "x265-params", f"temporal-layers=3:keyint=16:{X265}"),
    "hidden.webm": ("libvpx-vp9", "auto-alt-ref", "1"),
    "av1.mp4": ("libsvtav1", "svtav1-params", "irefresh-type=1:keyint=16:lp=1"),
}


def pictures(seed):
    """A view that pans over blocks, with a patch that runs: every frame refers to others."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (24, 48, 3)).astype(np.uint8)
    scene = np.kron(blocks, np.ones((8, 8, 1), np.uint8))
    for index in range(NUM_FRAMES):
        picture = scene[60 : 60 + 64, 3 * index : 3 * index + 96].copy()
        picture[10:26, 5 * index % 80 :][:, :16] = rng.integers(0, 256, 3)
        yield picture


@pytest.fixture(scope="module")
def make_stream(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")

    def make(name):
        codec, key, value = STREAMS[name]
        speed = {"g": "16", "cpu-used": "8", "deadline": "good"} if codec == "libvpx-vp9" else {}
        path = folder / name
        return path if path.exists() else encode(path, pictures(0), codec, {key: value, **speed})

    return make


def copy_packets(
    sources,
    target,
    change=lambda _part, _number, data: data,
    *,
    first=0,
    all_flagged=False,
):
    """Packets of the first video stream of each source, one after the other, changed on the way.

    Args:
        sources: read in turn.
        target: written.
        change: of a packet's content, given the number of its source and its own.
        first: packet of each source that is copied.
        all_flagged: whether the target calls each packet a keyframe.
    """
    with av.open(str(target), "w") as written:
        stream, offset = None, 0
        for part, source in enumerate(sources):
            with av.open(str(source)) as read:
                stream = stream or written.add_stream_from_template(read.streams.video[0])
                packets = [packet for packet in read.demux(video=0) if packet.size][first:]
                start = min(packet.pts for packet in packets)
                step = packets[0].duration or 1
                for number, old in enumerate(packets):
                    packet = av.Packet(change(part, number, bytes(old)))
                    packet.time_base, packet.stream = old.time_base, stream
                    packet.pts = old.pts - start + offset
                    # Matroska does not tell decoding times.
                    dts = old.pts if old.dts is None else old.dts
                    packet.dts = min(dts - start + offset, packet.pts)
                    packet.is_keyframe = all_flagged or old.is_keyframe
                    written.mux(packet)
                offset += len(packets) * step
    return target


def check_every_frame(path, num_sets=20):
    """Each frame alone and many sets of them, as in a full decode; the reader, closed."""
    everything = [*decoded_frames(path)]
    rng = np.random.default_rng(0)
    with VideoReader(path) as scanned:
        assert scanned.info.num_frames == len(everything)
    for index, expected in enumerate(everything):
        with VideoReader(path, timeline=scanned.timeline) as reader:
            assert np.array_equal(reader.read([index])[0], expected), index
    with VideoReader(path, timeline=scanned.timeline) as reader:
        for _ in range(num_sets):
            indices = rng.integers(len(everything), size=rng.integers(1, 8))
            assert np.array_equal(reader.read(indices), [everything[i] for i in indices])
        assert reader.timeline is scanned.timeline
    return scanned


@pytest.mark.parametrize("name", STREAMS)
def test_each_frame_alone_is_that_of_a_full_decode(make_stream, name):
    reader = check_every_frame(make_stream(name))
    assert reader.timeline.is_direct
    if "refresh" in name:
        assert len(reader.timeline.keyframes) == 1


@pytest.mark.parametrize("name", ["refresh.mp4", "hevc_refresh.mp4", "hidden.webm"])
def test_flags_of_the_container_are_not_believed(make_stream, tmp_path, name):
    source = make_stream(name)
    path = copy_packets([source], tmp_path / f"copy{source.suffix}", all_flagged=True)
    with VideoReader(source) as before:
        reader = check_every_frame(path)
        assert len(reader.timeline.keyframes) == len(before.timeline.keyframes)


def test_a_file_cut_at_a_recovery_point_has_the_frames_that_are_shown(make_stream, tmp_path):
    path = copy_packets([make_stream("refresh.mp4")], tmp_path / "cut.mkv", first=20)
    reader = check_every_frame(path)
    assert reader.info.num_frames < NUM_FRAMES - 20


def without_sets(data):
    """An H.264 packet without its SPS and PPS."""
    kept, start = b"", 0
    while start < len(data):
        end = start + 4 + int.from_bytes(data[start : start + 4], "big")
        kept += b"" if data[start + 4] & 0x1F in (7, 8) else data[start:end]
        start = end
    return kept


@pytest.mark.parametrize(
    ("has_sets", "num_keyframes"),
    [
        (lambda part, number: part == 1 and number == 0, 1),
        (lambda part, _: part == 1, 5),
        (lambda *_: True, 10),
    ],
)
def test_parameter_sets_that_change_on_the_way_are_those_of_the_frame(
    tmp_path, has_sets, num_keyframes
):
    params = "repeat-headers=1:keyint=12:bframes=0:min-keyint=12:scenecut=0"
    sources = [
        encode(tmp_path / f"{seed}.mkv", pictures(seed), options={"x264-params": params + extra})
        for seed, extra in enumerate(["", ":cabac=0:ref=1:8x8dct=0"])
    ]

    def change(part, number, data):
        return data if has_sets(part, number) else without_sets(data)

    reader = check_every_frame(copy_packets(sources, tmp_path / "joined.mkv", change))
    assert len(reader.timeline.keyframes) == num_keyframes


AVCC = bytes([1, 100, 0, 10, 0xFF, 0xE1, 0, 0])
HVCC = bytes([1, *range(20), 0xFF, 0])
SLICE, IDR = b"\x41\x9a", b"\x65\x88"


def unit(*contents):
    return b"".join(len(content).to_bytes(4, "big") + content for content in contents)


@pytest.mark.parametrize(
    ("codec", "extradata", "data", "is_exact"),
    [
        ("h264", AVCC, unit(IDR), True),
        ("h264", AVCC, unit(SLICE), False),
        # recovery_frame_cnt 0 (bit 1), exact_match_flag, broken_link_flag, ...
        ("h264", AVCC, unit(b"\x06\x06\x01\xc4\x80", SLICE), True),
        ("h264", AVCC, unit(b"\x06\x06\x01\x84\x80", SLICE), False),
        ("h264", AVCC, unit(b"\x06\x06\x02\x2c\x40\x80", SLICE), False),
        # Behind a message of 300 bytes, and one with an emulation prevention byte in it.
        ("h264", AVCC, unit(b"\x06\x05\xff\x2d" + b"x" * 300 + b"\x06\x01\xc4\x80", SLICE), True),
        ("h264", AVCC, unit(b"\x06\x04\x03\0\0\x03\x01\x06\x01\xc4\x80", SLICE), True),
        # The recovery point of another picture, behind the slice.
        ("h264", AVCC, unit(SLICE, b"\x06\x06\x01\xc4\x80"), False),
        ("h264", AVCC, unit(b"\x06\x06"), False),
        ("h264", AVCC, unit(b"\x06\xff"), False),
        ("h264", AVCC, unit(b""), False),
        ("h264", b"", b"\0\0\0\1\x09\x10\0\0\0\1" + IDR, True),
        ("h264", b"", b"\0\0\1" + SLICE, False),
        ("hevc", HVCC, unit(b"\x46\x01\x50", b"\x2a\x01\xaf"), True),  # CRA
        ("hevc", HVCC, unit(b"\x26\x01\xaf"), True),  # IDR
        ("hevc", HVCC, unit(b"\x02\x01\xd0"), False),  # trailing picture
        ("hevc", b"", b"\0\0\1\x28\x01", True),
        ("vp9", b"", b"\x82\x49", True),
        ("vp9", b"", b"\x86\x49", False),
        ("vp9", b"", b"\x8a", False),  # shows an existing frame
        ("vp9", b"", b"\xb1\x49", True),  # profile 3
        ("vp9", b"", b"\xb2\x49", False),
        ("vp9", b"", b"", False),
        ("av1", b"", b"\x12\0\x0a\x01\0\x32\x02\x10\0", True),
        ("av1", b"", b"\x12\0\x32\x02\x30\0", False),  # inter
        ("av1", b"", b"\x12\0\x32\x02\x50\0", False),  # intra only
        ("av1", b"", b"\x12\0\x1a\x01\x80", False),  # shows an existing frame
        ("av1", b"", b"\x12\0\x32\x02\0\0", False),  # a key frame that is shown later
        ("av1", b"", b"\x0e\0\x80\x01" + b"\0" * 128 + b"\x34\0\x10", True),  # layers, a long size
        ("av1", b"", b"\x32\xff\xff", False),
        ("av1", b"", b"", False),
    ],
)
def test_the_first_picture_of_a_packet_tells(codec, extradata, data, is_exact):
    assert start_picture(codec, data, extradata).is_exact == is_exact


def test_parameter_sets_are_told_from_those_of_the_header():
    header = AVCC + b"\x67\x64\x00\x0a" + b"\x68\xee"
    assert start_picture("h264", unit(IDR), header)[1:] == (False, False)
    known = unit(b"\x67\x64\x00\x0a", b"\x68\xee\0", IDR)
    assert start_picture("h264", known, header)[1:] == (True, False)
    assert start_picture("h264", unit(b"\x68\xef", IDR), header)[1:] == (True, True)
