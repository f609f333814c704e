import pickle

import pytest
from encoded_video import encode_sound

from gcvideo.data.video import _container as container
from gcvideo.data.video._container import VideoReadError
from gcvideo.data.video._decoding import probe


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(VideoReadError, match="there is no such file; check the path"):
        probe(tmp_path / "none.mp4")


@pytest.mark.parametrize(
    ("name", "codec", "sample"), [("sound.mp4", "aac", "fltp"), ("sound.wav", "pcm_s16le", "s16")]
)
def test_sound_alone_is_no_video(tmp_path, name, codec, sample):
    encode_sound(tmp_path / name, codec, sample)
    with pytest.raises(VideoReadError, match="it has no video stream"):
        probe(tmp_path / name)


def test_a_codec_without_a_decoder_is_named(make_video, tmp_path):
    content = make_video("h264.mp4").read_bytes()
    (tmp_path / "clip.mp4").write_bytes(content.replace(b"avc1", b"zzzz"))
    with pytest.raises(VideoReadError, match="FFmpeg has no decoder for it; re-encode it"):
        probe(tmp_path / "clip.mp4")


def test_pictures_larger_than_memory_are_refused(make_video, monkeypatch):
    monkeypatch.setattr(container, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(VideoReadError, match="decoding failed"):
        probe(make_video("h264.mp4"))


@pytest.mark.parametrize("name", ["-dash.mp4", "a:b é漢 '.mp4", "noext"])
def test_awkward_names_are_only_names(make_video, tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(make_video("h264.mp4").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert probe(name).num_frames == 60


def test_an_error_survives_the_way_out_of_a_worker():
    error = pickle.loads(pickle.dumps(VideoReadError("a.mp4", "the file is empty", "fetch it")))
    assert (error.path, error.reason) == ("a.mp4", "the file is empty")
    assert str(error) == "cannot read video 'a.mp4': the file is empty; fetch it"
