"""Video files as FFmpeg opens them, and their packets as it decodes them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video import VideoFrame, VideoStream

from gcvideo.data.video._file_format import OPEN_OPTIONS, STILL_BRANDS, why_no_video

# PyAV 19 raises ValueError for every packet after a decoder that could not be opened.
DECODE_ERRORS = (av.error.FFmpegError, ValueError)

# A broken header may promise pictures of gigabytes.
MAX_PIXELS = 8192 * 8192


class VideoReadError(Exception):
    """The file ``path`` cannot be read as a video: the reason and the remedy."""

    def __init__(
        self, path: str, reason: str, remedy: str = "replace the file or leave it out of the list"
    ) -> None:
        super().__init__(path, reason, remedy)  # all three, or it does not survive pickling
        self.path, self.reason, self.remedy = path, reason, remedy

    def __str__(self) -> str:
        return f"cannot read video '{self.path}': {self.reason}; {self.remedy}"


def open_video(path: str, *, probe: bool = True) -> tuple[InputContainer, VideoStream]:
    """Open a file at its video stream, ready to decode on one thread.

    Of several video streams FFmpeg's best is taken, never cover art; packets of the others are
    dropped before they are read.

    With ``probe`` it is read ahead to learn frame rate and reordering; without, a frame may come late.
    """
    file = Path(path).absolute()  # a relative name with a colon would be taken for a protocol
    if not file.is_file():
        raise VideoReadError(path, "there is no such file", "check the path and data.root")
    options = OPEN_OPTIONS | ({} if probe else {"analyzeduration": "0", "fpsprobesize": "0"})
    try:
        # Tags in other encodings than UTF-8 are common (HMDB51); PyAV 19 takes them unasked.
        if int(av.__version__.split(".")[0]) < 19:
            container = av.open(str(file), options=options, metadata_errors="replace")
        else:
            container = av.open(str(file), options=options)
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise VideoReadError(path, *why_no_video(file)) from error
    except OSError as error:
        raise VideoReadError(path, f"it cannot be opened ({error.strerror})") from error
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        container.close()
        raise VideoReadError(path, "it has no video stream")
    if container.metadata.get("major_brand") in STILL_BRANDS and stream.frames <= 1:
        container.close()
        raise VideoReadError(path, "it is a still image", "give the video that it was taken from")
    if stream.codec_context is None:
        container.close()
        raise VideoReadError(path, "FFmpeg has no decoder for it", "encode it anew")
    prepare_stream(container, stream)
    return container, stream


def prepare_stream(container: InputContainer, stream: VideoStream) -> None:
    """Read nothing but this stream, and decode it on one thread."""
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    # Before the first frame is decoded, or PyAV takes every CPU in every worker.
    stream.codec_context.thread_count = 1
    stream.codec_context.thread_type = "SLICE"
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}


def decode_packets(
    container: InputContainer, stream: VideoStream, damaged: Callable[[Exception], None]
) -> Iterator[list[VideoFrame]]:
    """The frames that each packet gives; ``damaged`` is told of what does not decode, and may raise it.

    Raises:
        FFmpegError: if the packets break off.
    """
    for packet in container.demux(stream):
        # The last packet is empty and drains the decoder; others stand for "show the last frame
        # again" (Theora), and decoders refuse them.
        if not packet.size and packet.dts is not None:
            continue
        try:
            frames = packet.decode()
        except DECODE_ERRORS as error:
            damaged(error)
            frames = []
        yield frames
