import time

import numpy as np
import pytest
from encoded_video import encode
from PIL import Image

from gcvideo.data import write_video
from gcvideo.data.video._container import VideoReadError, why_no_video
from gcvideo.data.video._decoding import probe, read_frames

PLAYLIST = "give the address of the stream or the video it names"
XML = '<?xml version="1.0" encoding="utf-8"?>\n'
TEXTS = [
    ("empty.mp4", "", r"cannot read video '.*empty\.mp4': the file is empty; download it again"),
    ("noise.mp4", "\0\1\2 noise", "does not recognise it as a video; replace the file"),
    (
        "lfs.mp4",
        "version https://git-lfs.github.com/spec/v1",
        "Git LFS pointer; run `git lfs pull`",
    ),
    ("list.txt", "a.mp4\nb.mp4\n", "it is a text, not a video; a list of videos is a .txt file"),
    ("art.nfo", "\x1b[31m **** \r\n", "it is a text, not a video"),
    ("art.mp4", "\x1b[31m **** \r\n", "it is a text, not a video"),
    ("clip.srt", "1\n00:00:00,000 --> 00:00:01,000\nhi\n", "it is a text, not a video"),
    (
        "x.m3u8",
        "#EXTM3U\n#EXTINF:1,\nclip.mp4\n#EXT-X-ENDLIST\n",
        rf"a playlist \(m3u8\); {PLAYLIST}",
    ),
    ("x.mp4", "#EXTM3U\n#EXTINF:1,\nclip.mp4\n#EXT-X-ENDLIST\n", r"playlist \(m3u8\)"),
    ("x.pls", "[playlist]\nFile1=clip.mp4\n", r"playlist \(pls\)"),
    (
        "x.ffconcat",
        "ffconcat version 1.0\nfile clip.mp4\n",
        "script that joins videos .*; join them",
    ),
    ("x.mkv", "ffconcat version 1.0\nfile clip.mp4\n", "script that joins videos"),
    ("x.sdp", "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", rf"stream \(SDP\); {PLAYLIST}"),
    ("x.mpd", f"{XML}<!-- made -->\n<MPD type='static'/>", rf"a DASH manifest \(mpd\); {PLAYLIST}"),
    ("y.mpd", "\ufeff<MPD type='static'/>", "DASH manifest"),
    ("x.xspf", f"{XML}<playlist/>", r"playlist \(XSPF\)"),
    ("x.xml", f"{XML}<cpl:CompositionPlaylist/>", r"playlist \(IMF\)"),
    ("x.ism", f"{XML}<SmoothStreamingMedia/>", "Smooth Streaming manifest"),
    ("x.svg", "<svg width='10' height='10'></svg>", "a drawing"),
    ("page.mp4", f"{XML}<!DOCTYPE html PUBLIC 'x'>\n<html>", "an HTML page, not a video; download"),
    ("error.mp4", f"{XML}<Error><Code>AccessDenied</Code></Error>", r"an XML text \(<error>\)"),
    ("error.json", '{"message": "Not Found"}', "a JSON text, not a video; download it again"),
]


@pytest.mark.parametrize(("name", "content", "message"), TEXTS)
def test_texts_are_named_and_never_opened(tmp_path, name, content, message):
    write_video(tmp_path / "clip.mp4", np.zeros((4, 48, 64, 3), np.uint8))
    (tmp_path / name).write_bytes(content.encode())
    with pytest.raises(VideoReadError, match=message):
        probe(tmp_path / name)


@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        ("png", r"a still image \(PNG\); give the video that it was taken from"),
        ("jpg", r"a still image \(JPEG\)"),
        ("webp", "a WebP image, which FFmpeg does not read as a video"),
        ("bmp", r"a still image \(BMP\)"),
        ("tiff", r"a still image \(TIFF\)"),
        ("ppm", "does not recognise it as a video"),
    ],
)
@pytest.mark.parametrize("name", ["still.{}", "still.mp4"])
def test_still_images_are_no_videos(tmp_path, name, suffix, message):
    path = tmp_path / name.format(suffix)
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    Image.fromarray(picture).save(path, format="jpeg" if suffix == "jpg" else suffix)
    with pytest.raises(VideoReadError, match=message):
        probe(path)


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("moving.gif", "gif", "rgb8"),
        ("moving.apng", "apng", "rgb24"),
        ("moving.avif", "libsvtav1", "yuv420p"),
        ("moving.mjpeg", "mjpeg", "yuvj420p"),
        ("moving.y4m", "wrapped_avframe", "yuv420p"),
        ("moving.mpg", "mpeg2video", "yuv420p"),
        ("moving.ogv", "libvpx", "yuv420p"),
        ("moving.nut", "ffv1", "yuv420p"),
        ("moving.asf", "wmv2", "yuv420p"),
        ("moving.flv", "flv", "yuv420p"),
        ("moving.mxf", "mpeg2video", "yuv420p"),
        ("moving.ivf", "libvpx", "yuv420p"),
        ("moving.h264", "libx264", "yuv420p"),
        ("moving.hevc", "libx265", "yuv420p"),
        ("moving.m4v", "mpeg4", "yuv420p"),
    ],
)
def test_moving_pictures_of_many_formats_are_videos(tmp_path, name, codec, pixels):
    pictures = [np.full((64, 64, 3), 40 * index, np.uint8) for index in range(5)]
    encode(tmp_path / name, pictures, codec, pix_fmt=pixels)
    levels = read_frames(tmp_path / name, range(5)).mean(axis=(1, 2, 3))
    assert np.abs(levels - 40 * np.arange(5)).max() < 12


def test_an_avif_image_is_a_still_image(tmp_path):
    encode(tmp_path / "still.avif", np.zeros((1, 64, 64, 3), np.uint8), "libsvtav1")
    with pytest.raises(VideoReadError, match="it is a still image; give the video"):
        probe(tmp_path / "still.avif")


def test_hostile_xml_takes_no_time(tmp_path):
    path = tmp_path / "page.xml"
    path.write_bytes(b"<??>" * 1000 + b"<!----><?")
    start = time.process_time()
    why_no_video(path)
    assert time.process_time() - start < 1
