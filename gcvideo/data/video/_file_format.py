"""Which files are videos, and what the others are."""

import io
import re
from pathlib import Path
from typing import BinaryIO

# A file that is open; io.BytesIO is a BinaryIO for type checkers alone.
BinaryFile = BinaryIO | io.BufferedIOBase

# FFmpeg's demuxers for moving pictures and sound. It has others, which find a video in a text (its letters,
# drawn), open what a playlist or script names, or take a still image for a video of one frame.
_CONTAINERS = """
    apng asf asf_o avi dhav dv flv gif gxf ivf ivr jpegxl_anim kux live_flv lxf matroska mov
    mpeg mpegts mpegtsraw mpjpeg mtv mxf nsv nut nuv ogg pva r3d rm ser smjpeg swf ty
    usm wtv yuv4mpegpipe
"""
_CODED_STREAMS = """
    apv av1 avs2 avs3 cavsvideo dirac dnxhd evc h261 h263 h264 hevc ingenient ipu m4v mjpeg mjpeg_2000
    mpegvideo obu vc1 vc1test vvc
"""
_CAMERAS_AND_GAMES = """
    4xm anm argo_brp avs bethsoftvid bfi bink bmv c93 cdxl cine dfa dsicin dxa ea film_cpk filmstrip flic gdv
    hnm hxvs idcin ifv ipmovie iss iv8 jv lmlm4 luodat lvf mgsts mlv mm mods moflex msnwctcp mv mvi mxg nc paf
    pdv pmp psxstr rl2 roq rpl sga siff smk smush thp tiertexseq tmv vividas vivo vmd wc3movie wsvqa xmv yop
"""
_SOUND = "aac ac3 aiff amr ape au caf dts eac3 flac mp3 tta w64 wav wv"
_WHITELIST = ",".join((_CONTAINERS + _CODED_STREAMS + _CAMERAS_AND_GAMES + _SOUND).split())

#: What FFmpeg is told when it opens a file; it holds for files that this one names, too.
OPEN_OPTIONS = {"format_whitelist": _WHITELIST}

_STILL_BRANDS = frozenset({"avif", "heic", "heix", "mif1", "mif2"})

_NUM_BYTES_SEEN = 4096

_PLAYLIST_REMEDY = "give the address of the stream or the video it names"
_STILL_REMEDY = "give the video that it was taken from"
_DOWNLOAD = "download it again"

# The start of a file, in small letters; the first that matches counts.
_STARTS = (
    (rb"version https://git-lfs", "it is a Git LFS pointer", "run `git lfs pull`"),
    (rb"<!doctype html|<html", "it looks like an HTML page, not a video", _DOWNLOAD),
    (rb"#extm3u", "it is a playlist (m3u8)", _PLAYLIST_REMEDY),
    (rb"\[playlist\]", "it is a playlist (pls)", _PLAYLIST_REMEDY),
    (
        rb"ffconcat version",
        "it is a script that joins videos (ffconcat), not a video",
        "join them into one file, or give the videos themselves",
    ),
    (rb"v=0\r?\n", "it is the description of a stream (SDP)", _PLAYLIST_REMEDY),
    (rb"\x89png", "it is a still image (PNG)", _STILL_REMEDY),
    (rb"\xff\xd8\xff", "it is a still image (JPEG)", _STILL_REMEDY),
    (
        rb"riff....webp",
        "it is a WebP image, which FFmpeg does not read as a video",
        "encode it anew",
    ),
    (rb"bm....\0\0\0\0", "it is a still image (BMP)", _STILL_REMEDY),
    (rb"ii\*\0|mm\0\*", "it is a still image (TIFF)", _STILL_REMEDY),
    (rb"[{\[]\s*[\"{\[\]}\d]", "it is a JSON text, not a video", _DOWNLOAD),
)
# The root element of an XML document, without its namespace.
_ROOT = re.compile(
    rb"(?>(?><\?.*?\?>|<!--.*?-->|<!doctype[^>]*>|\s)*+)<(?:[\w.-]+:)?([\w.-]+)", re.DOTALL
)
_ROOTS = {
    b"html": ("it looks like an HTML page, not a video", _DOWNLOAD),
    b"mpd": ("it is a DASH manifest (mpd)", _PLAYLIST_REMEDY),
    b"smoothstreamingmedia": ("it is a Smooth Streaming manifest", _PLAYLIST_REMEDY),
    b"compositionplaylist": ("it is a playlist (IMF)", _PLAYLIST_REMEDY),
    b"playlist": ("it is a playlist (XSPF)", _PLAYLIST_REMEDY),
    b"asx": ("it is a playlist (ASX)", _PLAYLIST_REMEDY),
    b"smil": ("it is a playlist (SMIL)", _PLAYLIST_REMEDY),
    b"svg": ("it is a drawing (SVG), not a video", _STILL_REMEDY),
}
_CONTROL_CHARACTERS = re.compile(rb"[\0-\x06\x0e-\x19\x1c-\x1f\x7f]")


def is_still_image(brand: str | None, num_frames: int) -> bool:
    """Whether a file of the mp4 family is an image: AVIF and HEIC without a sequence.

    Args:
        brand: its major brand, if it has one.
        num_frames: of its pictures.
    """
    return brand in _STILL_BRANDS and num_frames <= 1


def why_no_video(file: Path | BinaryFile) -> tuple[str, ...]:
    """What a file is that FFmpeg does not open as a video: the reason and, if one is known, the remedy."""
    if isinstance(file, Path):
        with file.open("rb") as stream:
            start = stream.read(_NUM_BYTES_SEEN)
    else:
        file.seek(0)
        start = file.read(_NUM_BYTES_SEEN)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not start:
        return ("the file is empty", "download it again or leave it out of the list")
    for pattern, reason, remedy in _STARTS:
        if re.match(pattern, text, re.DOTALL):
            return reason, remedy
    root = _ROOT.match(text)
    if root is not None:
        known = _ROOTS.get(root[1])
        return known or (f"it is an XML text (<{root[1].decode()}>), not a video", _DOWNLOAD)
    if not _CONTROL_CHARACTERS.search(start):
        return ("it is a text, not a video", "a list of videos is a .txt file with one path a line")
    return ("FFmpeg does not recognise it as a video",)
