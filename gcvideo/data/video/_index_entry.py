"""What a frame index keeps of one video."""

from dataclasses import dataclass
from pathlib import Path

from gcvideo.data.video._container import VideoReadError
from gcvideo.data.video._decoding import VideoReader
from gcvideo.data.video._timeline import Timeline


@dataclass(frozen=True, eq=False)
class IndexEntry:
    """What is known of one file, and the state of the file that it holds for.

    Args:
        path: as listed.
        size: of the file in bytes.
        mtime_ns: time of its last change.
        timeline: of its frames; None if it cannot be read.
        reason: why not, and
        remedy: what to do, as in VideoReadError.
    """

    path: str
    size: int
    mtime_ns: int
    timeline: Timeline | None
    reason: str = ""
    remedy: str = ""


def index_video(path: str, file: str) -> IndexEntry:
    """The entry of a video: its packets are scanned and its first frame is decoded.

    Args:
        path: as listed.
        file: the same, ready to open.
    """
    try:
        state = Path(file).stat()
        size, mtime_ns = state.st_size, state.st_mtime_ns
    except OSError:
        size = mtime_ns = -1
    try:
        with VideoReader(file) as reader:
            return IndexEntry(path, size, mtime_ns, reader.timeline)
    except VideoReadError as error:
        return IndexEntry(path, size, mtime_ns, None, error.reason, error.remedy)
