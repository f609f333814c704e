from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video import VideoStream

from gcvideo.data.video._file_format import (
    OPEN_OPTIONS,
    BinaryFile,
    is_still_image,
    why_no_video,
)

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


def open_video(
    path: str, *, file: BinaryFile | None = None, probe: bool = True
) -> tuple[InputContainer, VideoStream]:
    """Open a file at its video stream, ready to decode on one thread.

    Of several video streams FFmpeg's best is taken, never cover art; packets of the others are
    dropped before they are read.

    Args:
        path: of a file.
        file: an open one to read instead, from its start; ``path`` then only names it.
        probe: read ahead to learn frame rate and reordering; without, a frame may come late.

    Raises:
        VideoReadError: if the file is missing, is no video (texts, playlists and still images are
            none), or has no video stream.
    """
    # A relative name with a colon would be taken for a protocol.
    source = Path(path).absolute() if file is None else file
    if not isinstance(source, Path):
        source.seek(0)
    elif not source.is_file():
        raise VideoReadError(path, "there is no such file", "check the path and data.root")
    opened = str(source) if isinstance(source, Path) else source
    options = OPEN_OPTIONS | ({} if probe else {"analyzeduration": "0", "fpsprobesize": "0"})
    try:
        # Tags in other encodings than UTF-8 are common (HMDB51); PyAV 19 takes them unasked.
        if int(av.__version__.split(".")[0]) < 19:
            container = av.open(opened, "r", options=options, metadata_errors="replace")
        else:
            container = av.open(opened, "r", options=options)
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise VideoReadError(path, *why_no_video(source)) from error
    except OSError as error:
        raise VideoReadError(path, f"it cannot be opened ({error.strerror})") from error
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        container.close()
        raise VideoReadError(path, "it has no video stream")
    if is_still_image(container.metadata.get("major_brand"), stream.frames):
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
