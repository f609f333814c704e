"""Live sources that are opened again when they break off, fall silent or end."""

import math
import random
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from jaxtyping import UInt8

from gcvideo.data.video._container import VideoReadError
from gcvideo.data.video._stream import CHECK_SENDER, FrameStream

LONGEST_PAUSE_SECONDS = 60.0
# Many readers of one server that comes back should not all ask in the same moment.
_JITTER = 0.1

TimedFrame = tuple[float, UInt8[np.ndarray, "h w 3"]]
TimedFrames = Iterator[TimedFrame]


@dataclass(frozen=True)
class StreamGap:
    """Time without frames between two connections to a source.

    Args:
        start_seconds: time of the last frame before, on the clock of the frames.
        end_seconds: time of the first frame after, or of now while there is none.
        reason: what ended the connection before.
    """

    start_seconds: float
    end_seconds: float
    reason: str


class StreamConnections(Iterator[tuple[StreamGap | None, TimedFrames]]):
    """(Gap before, frames) of each connection to a source, which is opened again whenever it ends.

    Frames are pairs (seconds, RGB) as those of :class:`~gcvideo.data.video._stream.FrameStream`. After a gap
    they go on along the wall clock,

        first time after = last time before + (arrival of the first after - arrival of the last before)

    so that no two connections overlap. The frames of a connection end where it breaks off, and then the next
    one waits for the source: 1, 2, 4 ... up to 60 seconds between attempts, each up to a tenth shorter or
    longer, until a frame has come. Only a source with :attr:`~gcvideo.data.video._stream.FrameStream.is_live`
    is opened again: any other has one connection, whose end and errors are those of the stream. So has a
    source that cannot be opened at first or gives no frame at all, since its address may be wrong.

    Args:
        open_stream: function that opens the source, such as ``lambda: stream_frames("rtsp://host/path")``.
        reconnect_seconds: longest time without a frame, checked before each attempt; None for no limit, 0
            for a single connection.
        tell: function that is called with a line of text when the source is lost, when the reason for which
            it stays away changes, and when it is back.
        clock: function that gives the present time in seconds.
        sleep: function that waits for some seconds.

    Raises:
        VideoReadError: as for ``stream_frames``; when iterating, if the limit is reached.
        ValueError: if ``reconnect_seconds`` is negative.
    """

    def __init__(
        self,
        open_stream: Callable[[], FrameStream],
        *,
        reconnect_seconds: float | None = None,
        tell: Callable[[str], None] = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        limit = math.inf if reconnect_seconds is None else reconnect_seconds
        if not limit >= 0:
            raise ValueError(
                f"reconnect_seconds is {limit:g} but must be at least 0; 0 never connects again, None always"
            )
        self._open, self._limit, self._tell = open_stream, limit, tell
        self._clock, self._sleep = clock, sleep
        self._last = 0.0, clock()  # seconds of the last frame, and its arrival
        self._is_begun = self._has_frames = False
        self._why_lost: str | None = None
        self._stream = open_stream()

    def __next__(self) -> tuple[StreamGap | None, TimedFrames]:
        if not self._is_begun:
            self._is_begun = True
            return None, self._frames(self._stream, 0.0)
        lost = self.open_gap
        if lost is None:
            raise StopIteration
        first = self._first_frame(lost)
        gap = self._gap(lost.reason)
        self._why_lost = None
        self._tell(f"the source is back after {gap.end_seconds - gap.start_seconds:.1f} seconds")
        return gap, self._frames(chain([first], self._stream), gap.end_seconds)

    def __enter__(self) -> "StreamConnections":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_live(self) -> bool:
        """Whether the source is one that can be opened again."""
        return self._stream.is_live

    @property
    def open_gap(self) -> StreamGap | None:
        """The time since the last frame while the source is lost; otherwise None."""
        return None if self._why_lost is None else self._gap(self._why_lost)

    def close(self) -> None:
        """Close the source; a second call does nothing."""
        self._stream.close()

    def _gap(self, reason: str) -> StreamGap:
        seconds, arrival = self._last
        return StreamGap(seconds, seconds + self._clock() - arrival, reason)

    def _frames(self, frames: TimedFrames, offset: float) -> Generator[TimedFrame]:
        try:
            for seconds, picture in frames:
                self._last = offset + seconds, self._clock()
                self._has_frames = True
                yield offset + seconds, picture
            why_lost = "the sender ended it"
        except VideoReadError as error:
            if not self._reconnects:
                raise
            why_lost = error.reason
        finally:
            self._stream.close()
        if self._reconnects:
            self._why_lost = why_lost

    @property
    def _reconnects(self) -> bool:
        return self._limit > 0 and self._stream.is_live and self._has_frames

    def _first_frame(self, lost: StreamGap) -> TimedFrame:
        """The first frame of the next connection, when there is one."""
        within = "" if math.isinf(self._limit) else f" for up to {self._limit:g} seconds"
        self._tell(f"the source is lost: {lost.reason}; connecting again{within}")
        pause, reason = 1.0, lost.reason
        while True:
            waited = self._clock() - self._last[1]
            if waited >= self._limit:
                reasons = " and then ".join(dict.fromkeys((lost.reason, reason)))
                raise VideoReadError(
                    self._stream.source,
                    f"no frame has come for {waited:.0f} seconds ({reasons})",
                    f"{CHECK_SENDER}, or raise reconnect_seconds",
                )
            self._sleep(min(pause * random.uniform(1 - _JITTER, 1 + _JITTER), self._limit - waited))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            try:
                self._stream = self._open()
                return next(self._stream)
            except VideoReadError as error:
                self._stream.close()
                if error.reason != reason:
                    self._tell(f"the source does not come back yet: {error.reason}")
                reason = error.reason
