"""Reading of sources that can be read only once and in order: cameras, network streams and pipes."""

import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping
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
    DECODE_ERRORS,
    FOREIGN_TAGS,
    VideoReadError,
    prepare_stream,
)
from gcvideo.data.video._frame_array import FrameArray
from gcvideo.data.video._resizing import DecodeSize
from gcvideo.data.video._timeline import frame_info

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

# A source that is joined inside a group of pictures may need seconds until its next keyframe.
_MAX_DAMAGED_IN_A_ROW = 1000

_PAUSE_SECONDS = 0.005

_CHECK_SENDER = "check the sender and the connection, then open it again"


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


def stream_frames(
    source: str,
    *,
    format: str | None = None,
    options: Mapping[str, str] | None = None,
    timeout_seconds: float = 10.0,
    short_side: int | DecodeSize | None = None,
    square_pixels: bool = False,
) -> "FrameStream":
    """Open a source and give (seconds since the first frame, RGB frame) in order to its end.

    Frames are in display orientation and have the size of the first one. Memory holds one frame. Cameras
    and servers drop frames if they are read too slowly.

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
    if not timeout_seconds > 0:
        reason = f"timeout_seconds is {timeout_seconds:g} but must be positive"
        raise ValueError(f"{reason}; 10 suits most networks")
    try:
        container = av.open(
            source,
            format=format,
            options=dict(options or {}),
            timeout=(timeout_seconds, timeout_seconds),
            **FOREIGN_TAGS,
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoReadError(source, *_why_not_open(error, format, timeout_seconds)) from error
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.codec_context is None:
        container.close()
        raise VideoReadError(
            source,
            "it has no video that FFmpeg can decode",
            "check that the address is that of the video",
        )
    return FrameStream(source, container, stream, timeout_seconds, short_side, square_pixels)


class FrameStream(Iterator[tuple[float, UInt8[np.ndarray, "h w 3"]]]):
    """The frames of an open source, see :func:`stream_frames`; closed at its end or by ``close``.

    The time of a frame is its own stamp. If that is missing or does not ascend, as when a camera restarts,
    the frame comes one mean step after the last, see :class:`~gcvideo.data.video._clock.FrameClock`. Packets
    that cannot be decoded are left out and counted in ``num_damaged``.
    """

    def __init__(
        self,
        source: str,
        container: InputContainer,
        stream: VideoStream,
        timeout_seconds: float,
        short_side: int | DecodeSize | None,
        square_pixels: bool,
    ) -> None:
        self.source = source
        self.num_damaged = 0
        self._container, self._stream = container, stream
        self._timeout_seconds = timeout_seconds
        self._short_side, self._square_pixels = short_side, square_pixels
        prepare_stream(container, stream)
        self._frames = self._timed_frames()

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

    def _timed_frames(self) -> Generator[tuple[float, UInt8[np.ndarray, "h w 3"]]]:
        reformatter = VideoReformatter()
        info = None
        with closing(self._container):
            clock = FrameClock(self._container, self._stream)
            for frame in self._decode():
                info = info or frame_info(self._stream, frame, 1, float(clock.rate))
                picture = FrameArray(
                    np.zeros(1, np.int64), info, reformatter, self._short_side, self._square_pixels
                )
                picture.put(0, frame)
                ticks = clock.place(clock.stamps_of(frame))
                yield float(ticks * clock.time_base), picture.pixels[0]
        if info is None:
            raise VideoReadError(self.source, "it ended before its first frame", _CHECK_SENDER)

    def _decode(self) -> Iterator[VideoFrame]:
        in_a_row = 0
        for packet in self._packets():
            # Empty packets mean "show the last frame again"; the last one drains the decoder.
            if not packet.size and packet.dts is not None:
                continue
            try:
                frames = packet.decode()
            except DECODE_ERRORS as error:
                self.num_damaged += 1
                in_a_row += 1
                if in_a_row >= _MAX_DAMAGED_IN_A_ROW:
                    reason = f"{in_a_row} packets in a row do not decode ({error})"
                    raise VideoReadError(self.source, reason, _CHECK_SENDER) from error
                continue
            in_a_row = 0
            yield from frames

    def _packets(self) -> Iterator[Packet]:
        try:
            yield from _patient(lambda: self._container.demux(self._stream), self._timeout_seconds)
        except (av.error.ExitError, TimeoutError) as error:
            reason = f"nothing has come for {self._timeout_seconds:g} seconds"
            raise VideoReadError(self.source, reason, _CHECK_SENDER) from error
        except av.error.FFmpegError as error:
            reason = f"it broke off ({error.strerror})"
            raise VideoReadError(self.source, reason, _CHECK_SENDER) from error


def _patient(demux: Callable[[], Iterator[Packet]], seconds: float) -> Iterator[Packet]:
    """All packets; if a camera answers "try again" (AVFoundation), it is retried for ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            for packet in demux():
                yield packet
                deadline = time.monotonic() + seconds
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError from None
            time.sleep(_PAUSE_SECONDS)


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
