"""Opening of video files, recognition of other files, and decoding of packets."""

import gc
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.error
from av import Packet
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video import VideoFrame, VideoStream

if hasattr(os, "register_at_fork"):
    # PyAV's decoders, scalers and filters join their threads when they are freed, and a forked worker of a
    # loader does not have these: garbage of its parent, which any code may have left, would stop it for ever.
    os.register_at_fork(after_in_child=gc.freeze)

# An open file; io.BytesIO is a BinaryIO only for type checkers.
BinaryFile = BinaryIO | io.BufferedIOBase

# PyAV 19 raises ValueError for every packet if the decoder could not be opened.
DECODE_ERRORS = (av.error.FFmpegError, ValueError)

# Tags in encodings other than UTF-8 are common (HMDB51); PyAV 19 accepts them by default.
_IS_OLD = int(av.__version__.split(".")[0]) < 19
FOREIGN_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if _IS_OLD else {}

# A broken header may promise pictures of gigabytes.
MAX_PIXELS = 8192 * 8192

# FFmpeg's demuxers for moving pictures and sound. Others draw the letters of a text, open the files that a
# playlist or script names, or read a still image as a video of one frame.
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

# The whitelist also applies to files that the opened file names.
_OPEN_OPTIONS = {"format_whitelist": _WHITELIST}

# Brands of mp4 whose files are images if they have one picture (AVIF, HEIC).
_STILL_BRANDS = frozenset({"avif", "heic", "heix", "mif1", "mif2"})

_NUM_BYTES_SEEN = 4096

_PLAYLIST_REMEDY = "give the address of the stream or the video it names"
_STILL_REMEDY = "give the video that it was taken from"
_DOWNLOAD = "download it again"

# Patterns for the start of a file in lower case; the first match counts.
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
        "re-encode it",
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


class VideoReadError(Exception):
    """The file ``path`` cannot be read as a video: the reason and the remedy."""

    def __init__(
        self, path: str, reason: str, remedy: str = "replace the file or leave it out of the list"
    ) -> None:
        super().__init__(path, reason, remedy)  # all three, or it does not survive pickling
        self.path, self.reason, self.remedy = path, reason, remedy

    def __str__(self) -> str:
        return f"cannot read video '{self.path}': {self.reason}; {self.remedy}"


def open_video(
    path: str, *, file: BinaryFile | None = None, probe: bool = True
) -> tuple[InputContainer, VideoStream]:
    """Open a file, or an open ``file`` that ``path`` names, to decode its best video stream on one thread.

    Cover art does not count, and packets of other streams are dropped before they are read. With
    ``probe``, FFmpeg reads ahead to find the frame rate and reordering; without, a frame may come late.
    """
    # FFmpeg would read a relative name with a colon as a protocol.
    source = Path(path).absolute() if file is None else file
    if not isinstance(source, Path):
        source.seek(0)
    elif not source.is_file():
        if source.is_dir():
            raise VideoReadError(path, "it is a folder", "name a file, or a link to one")
        raise VideoReadError(path, "there is no such file", "check the path and data.root")
    opened = str(source) if isinstance(source, Path) else source
    options = _OPEN_OPTIONS | ({} if probe else {"analyzeduration": "0", "fpsprobesize": "0"})
    try:
        container = av.open(opened, "r", options=options, **FOREIGN_TAGS)
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise VideoReadError(path, *why_no_video(source)) from error
    except OSError as error:
        raise VideoReadError(path, f"it cannot be opened ({error.strerror})") from error
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        container.close()
        raise VideoReadError(path, "it has no video stream")
    if container.metadata.get("major_brand") in _STILL_BRANDS and stream.frames <= 1:
        container.close()
        raise VideoReadError(path, "it is a still image", "give the video that it was taken from")
    if stream.codec_context is None:
        container.close()
        raise VideoReadError(path, "FFmpeg has no decoder for it", "re-encode it")
    prepare_stream(container, stream)
    return container, stream


def why_no_video(file: Path | BinaryFile) -> tuple[str, ...]:
    """Why FFmpeg does not open a file as a video: the reason and, if known, the remedy."""
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
        return (
            "it is a text, not a video",
            "a list of videos is a .txt file with one path per line",
        )
    return ("FFmpeg does not recognise it as a video",)


def prepare_stream(container: InputContainer, stream: VideoStream) -> None:
    """Set up reading of this stream only, and decoding on one thread."""
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    # By default, each worker would use all CPUs; this must precede the first frame.
    stream.codec_context.thread_count = 1
    stream.codec_context.thread_type = "SLICE"
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}


def decode_packets(
    packets: Iterable[Packet], damaged: Callable[[Exception], None]
) -> Iterator[list[VideoFrame]]:
    """The frames of each packet; errors go to ``damaged``, except FFmpegError if the packets break off."""
    for packet in packets:
        # The last packet is empty and drains the decoder. Other empty packets mean "show the last frame
        # again" (Theora), and decoders reject them.
        if not packet.size and packet.dts is not None:
            continue
        try:
            frames = packet.decode()
        except DECODE_ERRORS as error:
            damaged(error)
            frames = []
        yield frames
