"""Annotated copies: the pictures' own times, what is drawn on them, and the sound."""

from fractions import Fraction

import av
import numpy as np
import pytest
from timed_video import TWO_RATES, shown_times, sound_of, write_timed_video

from gcvideo.data import VideoReader, rewrite_video
from gcvideo.inference._overlay import annotate_video

LONG = [Fraction(i, 30) for i in range(60)]


def encoder(name):
    if name not in av.codecs_available:
        pytest.skip(f"this PyAV has no encoder {name}")
    return name


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.mov", "clip.ts"])
def test_a_copy_has_every_frame_at_its_time_under_what_belongs_to_it(tmp_path, name):
    path = write_timed_video(tmp_path / name, TWO_RATES)
    shown = shown_times(path) - shown_times(path)[0]
    asked = []

    def rankings(seconds):
        asked.append(seconds)
        return [("slow", 1.0)] if seconds > 1.99 else None

    annotate_video(path, tmp_path / "out.mp4", rankings)
    np.testing.assert_allclose(asked, shown, atol=1e-9)
    copied = shown_times(tmp_path / "out.mp4")
    np.testing.assert_allclose(copied - copied[0], shown, atol=1e-9)
    with VideoReader(tmp_path / "out.mp4") as reader:
        frames = reader.read(range(90)).astype(int)
    # The panel at the bottom appears with the first frame of the slower half; above it nothing changes.
    has_panel = np.ptp(frames[:, 40:].mean(-1), axis=(1, 2)) > 30
    assert has_panel.tolist() == [i >= 60 for i in range(90)]
    np.testing.assert_allclose(
        frames[:, :20].mean((1, 2, 3)), 8 + 16 * (np.arange(90) % 16), atol=3
    )


@pytest.mark.parametrize("times", [LONG, [t + Fraction(1, 2) for t in LONG]], ids=["0", "0.5"])
@pytest.mark.parametrize("sound_start", [0, 0.25, 0.75])
@pytest.mark.parametrize(
    ("name", "video", "sound", "expected"),
    [
        ("clip.mp4", "libx264", "aac", "aac"),
        ("clip.mkv", "libx264", "ac3", "ac3"),
        ("clip.ts", "libx264", "aac", "aac"),
        ("clip.mkv", "libx264", "flac", "flac"),
        ("clip.webm", "libvpx", "libopus", "opus"),
        ("clip.mov", "libx264", "pcm_s16le", "aac"),
        ("clip.mkv", "libx264", "mp2", "aac"),
    ],
)
def test_sound_stays_as_long_before_or_after_the_pictures(
    tmp_path, times, sound_start, name, video, sound, expected
):
    path = tmp_path / name
    write_timed_video(path, times, encoder(video), encoder(sound), sound_start=sound_start)
    annotate_video(path, tmp_path / "out.mp4", lambda _: None)
    _, first, last = sound_of(path)
    codec, first_copied, last_copied = sound_of(tmp_path / "out.mp4")
    pictures, pictures_copied = shown_times(path)[0], shown_times(tmp_path / "out.mp4")[0]
    assert codec == expected
    # The beginning of compressed sound is blurred over some milliseconds.
    assert first_copied - pictures_copied == pytest.approx(first - pictures, abs=0.012)
    assert last_copied - first_copied == pytest.approx(last - first, abs=0.025)
    # Whichever is first starts the copy.
    assert min(first_copied, pictures_copied) == pytest.approx(0, abs=0.06)


def test_packets_of_sound_that_mp4_knows_are_copied_bit_for_bit(tmp_path):
    path = write_timed_video(tmp_path / "clip.mp4", LONG, sound="aac")
    annotate_video(path, tmp_path / "out.mp4", lambda _: None)

    def packets(file):
        with av.open(str(file)) as container:
            return [bytes(p) for p in container.demux(container.streams.audio[0]) if p.size]

    assert packets(tmp_path / "out.mp4") == packets(path)


def test_one_channel_stays_one_when_sound_is_encoded_anew(tmp_path):
    path = tmp_path / "clip.mov"
    write_timed_video(path, LONG, sound="pcm_s16le", layout="mono")
    annotate_video(path, tmp_path / "out.mp4", lambda _: None)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].codec_context.channels == 1


def test_a_gap_in_sound_that_is_encoded_anew_is_silent(tmp_path):
    path = write_timed_video(tmp_path / "whole.mkv", LONG, sound="pcm_s16le")
    # Half a second in the middle is left out.
    with av.open(str(path)) as source, av.open(str(tmp_path / "gap.mkv"), "w") as target:
        streams = [target.add_stream_from_template(stream) for stream in source.streams]
        for packet in source.demux():
            index, seconds = packet.stream.index, float((packet.pts or 0) * packet.time_base)
            if packet.size and not (index == 1 and 0.7 <= seconds < 1.2):
                packet.stream = streams[index]
                target.mux(packet)
    annotate_video(tmp_path / "gap.mkv", tmp_path / "out.mp4", lambda _: None)
    codec, first, last = sound_of(tmp_path / "out.mp4")
    _, _, end = sound_of(path)
    assert codec == "aac"
    assert (first, last) == (pytest.approx(0, abs=0.012), pytest.approx(end, abs=0.025))


def test_without_sound_there_is_none(tmp_path):
    path = write_timed_video(tmp_path / "clip.mp4", LONG)
    annotate_video(path, tmp_path / "out.mp4", lambda _: None)
    assert sound_of(tmp_path / "out.mp4") is None


def test_every_frame_needs_its_picture(tmp_path):
    path = write_timed_video(tmp_path / "clip.mp4", LONG[:3])
    with VideoReader(path) as reader:
        timeline = reader.timeline
    picture = np.zeros((48, 64, 3), np.uint8)
    for count, word in ((2, "fewer"), (4, "more")):
        with pytest.raises(ValueError, match=f"there are {word} frames than the 3 of the source"):
            rewrite_video(path, tmp_path / "a.mp4", [picture] * count, timeline=timeline)
    with pytest.raises(ValueError, match=r"no frame to write to '.*a\.mp4'; pass at least one"):
        rewrite_video(path, tmp_path / "a.mp4", [], timeline=timeline)
