"""Reading of sources that can be read only once and in order: cameras, network streams and pipes."""

import math
import re
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import av
import av.error
import numpy as np
from av import Packet
from av.container import InputContainer
from av.video import VideoFrame, VideoStream
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from gcvideo.data.video._clock import FrameClock
from gcvideo.data.video._container import (
    FOREIGN_TAGS,
    VideoReadError,
    decode_packets,
    prepare_stream,
)
from gcvideo.data.video._conversion import FrameArray
from gcvideo.data.video._resizing import DecodeSize
from gcvideo.data.video._timeline import frame_info

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CAMERA_FORMATS = ("v4l2", "avfoundation", "dshow")
# What is fetched from an address in these formats is a playlist, whose own size says nothing.
_PLAYLIST_FORMATS = ("hls", "dash")

# A source that is joined inside a group of pictures may need seconds until its next keyframe.
_MAX_DAMAGED_IN_A_ROW = 1000

_PAUSE_SECONDS = 0.005

CHECK_SENDER = "check the sender and the connection, then open it again"


def is_stream(source: str, format: str | None = None) -> bool:
    """Whether a source is read with :func:`stream_frames` instead of as a file.

    This holds for a URL (``rtsp://...``), ``pipe:``, ``/dev/video...``, a named pipe, and any source with a
    given format.
    """
    return (
        format is not None
        or _URL.match(source) is not None
        or source.startswith(("pipe:", "/dev/video"))
        or Path(source).is_fifo()
    )


def _is_address(source: str, format: str | None) -> bool:
    """Whether a source is a camera, or at an address in a network."""
    is_url = _URL.match(source) is not None and not source.lower().startswith("file:")
    return is_url or source.startswith("/dev/") or format in _CAMERA_FORMATS


def _states_length(container: InputContainer) -> bool:
    """Whether a source tells its duration or its size, as recordings do."""
    is_sized = container.format.name not in _PLAYLIST_FORMATS and container.size > 0
    return is_sized or (container.duration or 0) > 0


class FrameStream(Iterator[tuple[float, UInt8[np.ndarray, "h w 3"]]]):
    """(Seconds since the first frame, RGB frame) of a source, in order to its end or to ``close``.

    The source is opened at once. Frames are in display orientation and have the size of the first one.
    Memory holds one frame. Cameras and servers drop frames if they are read too slowly. The time of a frame
    is its own stamp. If that is missing or does not ascend, as when a camera restarts, the frame comes one
    mean step after the last, see :class:`~gcvideo.data.video._clock.FrameClock`. Packets that cannot be
    decoded are left out and counted in ``num_damaged``. ``is_live`` tells whether the source is a camera, or at
    an address that states neither a duration nor a size; recordings, files and pipes are not live.

    Args:
        source: URL, device, pipe or file in FFmpeg's notation: ``rtsp://host/path``, ``/dev/video0``,
            ``pipe:0`` for the standard input. A pipe waits for its writer without a time limit.
        format: FFmpeg's name of a format that it cannot detect, such as ``"v4l2"`` (cameras on Linux),
            ``"avfoundation"`` (macOS), ``"dshow"`` (Windows) or ``"rawvideo"``.
        options: settings of the format or protocol, such as ``{"video_size": "1280x720"}``.
        timeout_seconds: time limit for an answer of a device or server, at the start and later.
        short_side: size as for :meth:`~gcvideo.data.video._decoding.VideoReader.read`.
        square_pixels: shape of the pixels as for :class:`~gcvideo.data.video._decoding.VideoReader`.

    Raises:
        VideoReadError: if the source cannot be opened or has no video, or later, if it breaks off, falls
            silent or cannot be decoded.
        ValueError: if ``timeout_seconds`` is not positive.
    """

    def __init__(
        self,
        source: str,
        *,
        format: str | None = None,
        options: Mapping[str, str] | None = None,
        timeout_seconds: float = 10.0,
        short_side: int | DecodeSize | None = None,
        square_pixels: bool = False,
    ) -> None:
        if not timeout_seconds > 0:
            reason = f"timeout_seconds is {timeout_seconds:g} but must be positive"
            raise ValueError(f"{reason}; 10 suits most networks")
        try:
            self._container = av.open(
                source,
                format=format,
                options=dict(options or {}),
                timeout=(timeout_seconds, timeout_seconds),
                **FOREIGN_TAGS,
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise VideoReadError(source, *_why_not_open(error, format, timeout_seconds)) from error
        stream = self._container.streams.best("video")
        if not isinstance(stream, VideoStream) or stream.codec_context is None:
            self._container.close()
            raise VideoReadError(
                source,
                "it has no video that FFmpeg can decode",
                "check that the address is that of the video",
            )
        prepare_stream(self._container, stream)
        self.source = source
        self.is_live = _is_address(source, format) and not _states_length(self._container)
        self.num_damaged = self._num_damaged_in_a_row = 0
        self._stream, self._timeout_seconds = stream, timeout_seconds
        self._frames = self._timed_frames(short_side, square_pixels)

    def __next__(self) -> tuple[float, UInt8[np.ndarray, "h w 3"]]:
        return next(self._frames)

    def __enter__(self) -> "FrameStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the source; a second call does nothing."""
        self._frames.close()
        self._container.close()

    def _timed_frames(
        self, short_side: int | DecodeSize | None, square_pixels: bool
    ) -> Generator[tuple[float, UInt8[np.ndarray, "h w 3"]]]:
        reformatter, info = VideoReformatter(), None
        with closing(self._container):
            clock = FrameClock(self._container, self._stream)
            for frame in self._decode():
                info = info or frame_info(self._stream, frame, 1, float(clock.rate))
                picture = FrameArray(
                    np.zeros(1, np.int64), info, reformatter, short_side, square_pixels
                )
                picture.put(0, frame)
                ticks = clock.place(clock.stamps_of(frame))
                yield float(ticks * clock.time_base), picture.pixels[0]
        if info is None:
            raise VideoReadError(self.source, "it ended before its first frame", CHECK_SENDER)

    def _decode(self) -> Iterator[VideoFrame]:
        try:
            for frames in decode_packets(self._packets(), self._note_damage):
                if frames:
                    self._num_damaged_in_a_row = 0
                yield from frames
        except (av.error.ExitError, TimeoutError) as error:
            reason = f"nothing has come for {self._timeout_seconds:g} seconds"
            raise VideoReadError(self.source, reason, CHECK_SENDER) from error
        except av.error.FFmpegError as error:
            reason = f"it broke off ({error.strerror})"
            raise VideoReadError(self.source, reason, CHECK_SENDER) from error

    def _packets(self) -> Iterator[Packet]:
        """All packets; if a camera answers "try again" (AVFoundation), it is retried for a while."""
        # Pauses are counted, because the clock goes on while a process is stopped or a machine sleeps.
        pauses, num_pauses = 0, math.ceil(self._timeout_seconds / _PAUSE_SECONDS)
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    yield packet
                    pauses = 0
                return
            except BlockingIOError:
                if pauses == num_pauses:
                    raise TimeoutError from None
                pauses += 1
                time.sleep(_PAUSE_SECONDS)

    def _note_damage(self, error: Exception) -> None:
        self.num_damaged += 1
        self._num_damaged_in_a_row += 1
        if self._num_damaged_in_a_row >= _MAX_DAMAGED_IN_A_ROW:
            reason = f"{self._num_damaged_in_a_row} packets in a row do not decode ({error})"
            raise VideoReadError(self.source, reason, CHECK_SENDER) from error


stream_frames = FrameStream


def _why_not_open(error: Exception, format: str | None, seconds: float) -> tuple[str, str]:
    if isinstance(error, av.error.ExitError):
        reason = f"it did not answer within {seconds:g} seconds"
        return reason, "check the address and the network, or raise timeout_seconds"
    if isinstance(error, av.error.ProtocolNotFoundError):
        return "this FFmpeg lacks the protocol", "send it by http, rtsp, rtmp, udp or tcp"
    known = f"format is '{format}'" if format else "no format is given"
    return (
        f"it cannot be opened ({getattr(error, 'strerror', None) or error})",
        "check the address, that the sender runs, and the format (cameras need 'v4l2', "
        f"'avfoundation' or 'dshow'; {known})",
    )
